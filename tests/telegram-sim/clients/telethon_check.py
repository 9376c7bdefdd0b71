"""Signs in with Telethon, lists, fetches and downloads; prints what it saw as one JSON object.

Usage: telethon_check.py JOB.json

The job says where and as whom: ip, port, dc, api_id, api_hash, rsa (PEM), old_padding, transport, channel, messages,
and one of auth_key (hexadecimal), bot_token, phone and code, or phone_session (dc, port and auth_key of the session that
accepts a login token).
"""

import asyncio
import contextlib
import hashlib
import json
import logging
import sys

from telethon import TelegramClient, connection, errors, functions, types
from telethon.crypto import AuthKey, rsa
from telethon.sessions import MemorySession

TRANSPORTS = {
    "full": connection.ConnectionTcpFull,
    "abridged": connection.ConnectionTcpAbridged,
    "intermediate": connection.ConnectionTcpIntermediate,
    "obfuscated": connection.ConnectionTcpObfuscated,
    "mtproxy-abridged": connection.ConnectionTcpMTProxyAbridged,
    "mtproxy-intermediate": connection.ConnectionTcpMTProxyIntermediate,
    "mtproxy-padded": connection.ConnectionTcpMTProxyRandomizedIntermediate,
}


async def sign_in_by_token(client, job):
    """Shows a login token, which another session of the account accepts, and waits for the word that it did."""
    session = MemorySession()
    session.set_dc(job["phone_session"]["dc"], job["ip"], job["phone_session"]["port"])
    session.auth_key = AuthKey(bytes.fromhex(job["phone_session"]["auth_key"]))
    phone = TelegramClient(session, job["api_id"], job["api_hash"], connection=TRANSPORTS["full"])
    await phone.connect()
    shown = await client.qr_login()
    waiting = asyncio.create_task(shown.wait(60))
    # The wait has to be under way before the token is accepted.
    await asyncio.sleep(0)
    await phone(functions.auth.AcceptLoginTokenRequest(shown.token))
    try:
        await waiting
    except errors.SessionPasswordNeededError:
        await client.sign_in(password=job["passwords"][0])
    await phone.disconnect()


async def check(job):
    rsa.add_key(job["rsa"], old=job["old_padding"])
    session = MemorySession()
    session.set_dc(job["dc"], job["ip"], job["port"])
    if "auth_key" in job:
        session.auth_key = AuthKey(bytes.fromhex(job["auth_key"]))
    client = TelegramClient(
        session,
        job["api_id"],
        job["api_hash"],
        connection=TRANSPORTS[job["transport"]],
        proxy=tuple(job["proxy"]) if "proxy" in job else None,
        connection_retries=2,
        request_retries=2,
        # Floods are for the caller to see.
        flood_sleep_threshold=0,
    )
    if "auth_key" in job:
        await client.connect()
        if not await client.is_user_authorized():
            raise SystemExit("the seeded key is not signed in")
    elif "bot_token" in job:
        await client.start(bot_token=job["bot_token"])
    elif "phone_session" in job:
        await client.connect()
        await sign_in_by_token(client, job)
    else:
        # A list gives one answer after the other: what's wrong is asked for again.
        codes = iter([job["code"]] if isinstance(job["code"], str) else job["code"])
        passwords = iter(job.get("passwords", []))
        await client.start(
            phone=job["phone"],
            code_callback=lambda: next(codes),
            password=lambda: next(passwords),
        )

    seen = {"me": (await client.get_me()).id, "bytes": {}}
    if job["user"]:
        dialogs = await client.get_dialogs()
        seen["dialogs"] = [[dialog.entity.id, dialog.title] for dialog in dialogs]
        channel = dialogs[0].input_entity
        seen["history"] = [message.id async for message in client.iter_messages(channel)]
        seen["reverse"] = [message.id async for message in client.iter_messages(channel, reverse=True)]
        found = await client(functions.contacts.ResolveUsernameRequest(job["username"]))
        seen["resolved"] = found.chats[0].id
    else:
        channel = types.InputPeerChannel(job["channel"], 0)
        # A bot learns the access hash from the channel itself.
        channel = await client.get_input_entity(await client.get_entity(channel))

    for number in job["messages"]:
        message = await client.get_messages(channel, ids=number)
        content = await client.download_media(message, file=bytes)
        seen["bytes"][str(number)] = {
            "name": message.file.name,
            "size": message.file.size,
            "sha256": hashlib.sha256(content or b"").hexdigest(),
        }
    await client.disconnect()
    return seen


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    # Telethon greets whoever signs in on stdout, which is ours.
    with contextlib.redirect_stdout(sys.stderr):
        result = asyncio.run(check(job))
    print(json.dumps(result))
