import sys

import anyio
import dagger
from pipeline import pipeline


async def main():
    async with dagger.Connection(dagger.Config(log_output=sys.stderr)) as client:
        await pipeline(client)


anyio.run(main)
