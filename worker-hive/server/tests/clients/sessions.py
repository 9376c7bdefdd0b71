"""Makes sessions with other people's clients, and signs them in with sessions from elsewhere. Prints one JSON object.

Usage: sessions.py JOB.json

The job: what (a function below), ip, port, dc, api_id, api_hash, rsa (PEM), folder, user_id, bot, and what that function takes. Which
of the clients named pyrogram is meant is said by PYTHONPATH.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import struct
import sys
from pathlib import Path

CHANNEL = -1001234567890


# Telethon


def telethon_client(job, session):
    from telethon import TelegramClient
    from telethon.crypto import rsa

    rsa.add_key(job["rsa"], old=False)
    return TelegramClient(session, job["api_id"], job["api_hash"], connection_retries=2, request_retries=2)


async def telethon_sign_in(job):
    """By a code, with a key exchange: a string, and a file that knows the account's chats."""
    from telethon.sessions import SQLiteSession, StringSession

    path = str(Path(job["folder"]) / "anon.session")
    session = SQLiteSession(path)
    session.set_dc(job["dc"], job["ip"], job["port"])
    client = telethon_client(job, session)
    await client.start(phone=job["phone"], code_callback=lambda: job["code"])
    await client.get_dialogs()
    seen = {"string": StringSession.save(client.session), "file": path, "me": (await client.get_me()).id}
    await client.disconnect()
    return seen


async def telethon_accept(job):
    """Connects with a string; fails if it is not signed in."""
    from telethon.sessions import StringSession

    client = telethon_client(job, StringSession(job["string"]))
    await client.connect()
    seen = {"me": (await client.get_me()).id}
    await client.disconnect()
    return seen


# Pyrogram, Pyrofork, Kurigram


def fingerprint(modulus, exponent):
    def bare(number):
        data = number.to_bytes((number.bit_length() + 7) // 8, "big")
        head = bytes([len(data)]) if len(data) < 254 else bytes([254]) + len(data).to_bytes(3, "little")
        return head + data + bytes(-(len(head) + len(data)) % 4)

    digest = hashlib.sha1(bare(modulus) + bare(exponent)).digest()
    return int.from_bytes(digest[-8:], "little", signed=True)


def steer(job):
    """Has the client look for the data-centre at the simulator's, and trust its key."""
    import rsa as pem
    from pyrogram.crypto import rsa

    key = pem.PublicKey.load_pkcs1(job["rsa"].encode())
    rsa.server_public_keys[fingerprint(key.n, key.e)] = rsa.PublicKey(key.n, key.e)
    # Each has its own table of addresses, and none of them may be reached from here.
    loop = asyncio.get_running_loop()
    create, connect = loop.create_connection, loop.sock_connect

    async def create_there(factory, host=None, port=None, **rest):
        if host is not None:
            host, port = job["ip"], job["port"]
        return await create(factory, host, port, **rest)

    async def connect_there(sock, _address):
        return await connect(sock, (job["ip"], job["port"]))

    loop.create_connection, loop.sock_connect = create_there, connect_there


async def pyrogram_sign_in(job):
    """A bot by its token, with a key exchange: a string and a file."""
    from pyrogram import Client

    steer(job)
    client = Client("films bot", job["api_id"], job["api_hash"], workdir=job["folder"], no_updates=True)
    await client.connect()
    await client.sign_in_bot(job["token"])
    string = await client.export_session_string()
    await client.disconnect()
    return {"string": string, "file": str(Path(job["folder"]) / "films bot.session")}


async def pyrogram_make(job):
    """By the storage alone: strings of each layout, and a file with peers whose journal is left behind, if it can have one."""
    from pyrogram import storage

    key = bytes.fromhex(job["auth_key"])
    if hasattr(storage, "FileStorage"):
        kept = storage.FileStorage("kept", Path(job["folder"]))
    else:
        kept = storage.SQLiteStorage("kept", Path(job["folder"]), use_wal=True)
    await kept.open()
    await kept.dc_id(job["dc"])
    await kept.api_id(job["api_id"])
    await kept.test_mode(False)
    await kept.auth_key(key)
    await kept.user_id(job["user_id"])
    await kept.is_bot(job["bot"])
    await kept.date(0)
    if hasattr(kept, "server_address"):
        await kept.server_address(job["ip"])
        await kept.port(job["port"])
        await kept.update_peers([(CHANNEL, job["access_hash"], "channel", None)])
    else:
        await kept.update_peers([(CHANNEL, job["access_hash"], "channel", None, None)])
    await kept.save()
    fields = (job["dc"], False, key, job["user_id"], job["bot"])
    from pyrogram.storage.storage import Storage

    old = [Storage.OLD_SESSION_STRING_FORMAT, Storage.OLD_SESSION_STRING_FORMAT_64]
    return {
        "string": await kept.export_session_string(),
        "old": [base64.urlsafe_b64encode(struct.pack(form, *fields)).decode().rstrip("=") for form in old],
        "file": str(Path(job["folder"]) / "kept.session"),
    }


async def pyrogram_load(job):
    """Reads a string into the storage, without connecting."""
    from pyrogram import storage

    if hasattr(storage, "MemoryStorage"):
        loaded = storage.MemoryStorage("loaded", job["string"])
    else:
        loaded = storage.SQLiteStorage("loaded", Path(job["folder"]), session_string=job["string"], in_memory=True)
    await loaded.open()
    return {
        "dc": await loaded.dc_id(),
        "auth_key": (await loaded.auth_key()).hex(),
        "me": await loaded.user_id(),
        "bot": bool(await loaded.is_bot()),
        "api_id": await loaded.api_id(),
    }


async def pyrogram_accept(job):
    """Connects with a string; fails if it is not signed in."""
    from pyrogram import Client

    steer(job)
    # One that isn't signed in would ask for a phone number: there is nobody to ask.
    sys.stdin.close()
    string = job["string"]
    client = Client("x", job["api_id"], job["api_hash"], session_string=string, in_memory=True, no_updates=True)
    await client.start()
    seen = {"me": client.me.id}
    await client.stop()
    return seen


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        asked = json.load(file)
    # Pyrogram looks for a loop when it is imported; clients greet whoever signs in on standard output, which is ours.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    with contextlib.redirect_stdout(sys.stderr):
        result = loop.run_until_complete(globals()[asked["what"]](asked))
    print(json.dumps(result), flush=True)
    # As a killed process would: SQLite doesn't get to fold journals in.
    os._exit(0)
