"""Streams a film with Telethon's iter_download, as often as asked.

Usage: telethon_download.py JOB.json

Prints "READY" once it's signed in and knows the film. For each line of standard input, a number of bytes, it downloads
that many from the film's start, throws them away and prints how many came.
"""

import asyncio
import json
import logging
import sys

from telethon import TelegramClient
from telethon.crypto import AuthKey
from telethon.sessions import MemorySession


async def serve(job):
    session = MemorySession()
    session.set_dc(job["dc"], job["ip"], job["port"])
    session.auth_key = AuthKey(bytes.fromhex(job["auth_key"]))
    client = TelegramClient(session, job["api_id"], job["api_hash"])
    await client.connect()
    channel = (await client.get_dialogs())[0].input_entity
    message = await client.get_messages(channel, ids=job["message"])
    print("READY", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        wanted, got = int(line), 0
        async for chunk in client.iter_download(message.media):
            got += len(chunk)
            if got >= wanted:
                break
        print("DONE", got, flush=True)
    await client.disconnect()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    asyncio.run(serve(job))
