"""Signs in with Kurigram from a seed, fetches and downloads; prints what it saw as one JSON object.

Usage: kurigram_check.py JOB.json

The job is the one of telethon_check.py; a foreign data-centre's key is always agreed on by the key exchange.
"""

import asyncio
import hashlib
import json
import sys
import tempfile

import rsa as pem
from pyrogram import Client
from pyrogram.crypto import rsa


def fingerprint(modulus, exponent):
    def bare(number):
        data = number.to_bytes((number.bit_length() + 7) // 8, "big")
        head = bytes([len(data)]) if len(data) < 254 else bytes([254]) + len(data).to_bytes(3, "little")
        return head + data + bytes(-(len(head) + len(data)) % 4)

    digest = hashlib.sha1(bare(modulus) + bare(exponent)).digest()
    return int.from_bytes(digest[-8:], "little", signed=True)


def add_key(modulus, exponent):
    rsa.server_public_keys[fingerprint(modulus, exponent)] = rsa.PublicKey(modulus, exponent)


async def check(job, folder):
    key = pem.PublicKey.load_pkcs1(job["rsa"].encode())
    add_key(key.n, key.e)
    client = Client("check", job["api_id"], job["api_hash"], workdir=folder, no_updates=True, sleep_threshold=0)
    storage = client.storage
    await storage.open()
    await storage.dc_id(job["dc"])
    await storage.api_id(job["api_id"])
    await storage.test_mode(False)
    await storage.server_address(job["ip"])
    await storage.port(job["port"])
    await storage.auth_key(bytes.fromhex(job["auth_key"]))
    await storage.user_id(job["user_id"])
    await storage.is_bot(not job["user"])
    await storage.date(0)
    await storage.save()
    await storage.close()
    await client.start()
    seen = {"me": client.me.id, "bytes": {}}
    chat = job["chat"]
    if job["user"]:
        seen["dialogs"] = [dialog.chat.id async for dialog in client.get_dialogs()]
        seen["history"] = [message.id async for message in client.get_chat_history(chat)]
    for number in job["messages"]:
        message = await client.get_messages(chat, number)
        media = message.document or message.video or message.audio
        content = await client.download_media(message, in_memory=True)
        seen["bytes"][str(number)] = {
            "name": media.file_name,
            "size": media.file_size,
            "sha256": hashlib.sha256(content.getvalue()).hexdigest(),
        }
    await client.stop()
    return seen


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asyncio.run(check(job, folder))))
