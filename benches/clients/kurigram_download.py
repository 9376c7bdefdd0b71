"""Streams a film with Kurigram's stream_media, as often as asked.

Usage: kurigram_download.py JOB.json

Prints "READY" once it's signed in and knows the film. For each line of standard input, a number of bytes, it downloads
that many from the film's start, throws them away and prints how many came.
"""

import asyncio
import json
import sys
import tempfile

from pyrogram import Client


async def serve(job, folder):
    client = Client("bench", job["api_id"], job["api_hash"], workdir=folder, no_updates=True)
    storage = client.storage
    await storage.open()
    await storage.dc_id(job["dc"])
    await storage.api_id(job["api_id"])
    await storage.test_mode(False)
    await storage.server_address(job["ip"])
    await storage.port(job["port"])
    await storage.auth_key(bytes.fromhex(job["auth_key"]))
    await storage.user_id(job["user_id"])
    await storage.is_bot(False)
    await storage.date(0)
    await storage.save()
    await storage.close()
    await client.start()
    chat = [dialog.chat.id async for dialog in client.get_dialogs()][0]
    message = await client.get_messages(chat, job["message"])
    print("READY", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        got = 0
        # Chunks of this client are always 1 MiB.
        async for chunk in client.stream_media(message, limit=-(-int(line) // (1 << 20))):
            got += len(chunk)
        print("DONE", got, flush=True)
    await client.stop()


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        job = json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(serve(job, folder))
