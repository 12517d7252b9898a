import sys

import anyio
import dagger
from dagger import dag
from pipeline import pipeline


async def main():
    async with dagger.connection(dagger.Config(log_output=sys.stderr)):
        await pipeline(dag)


anyio.run(main)
