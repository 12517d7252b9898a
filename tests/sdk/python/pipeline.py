"""What every SDK does here, in Python; the entry files say how each generation connects.
The answer is one line of JSON on stdout, which sdk_test.py compares."""

import json
import os

import dagger


async def pipeline(client):
    source = client.host().directory(os.environ["TEST_SOURCE"], exclude=["*.skip"])
    built = (
        client.container()
        .from_(os.environ["TEST_IMAGE"])
        .with_mounted_directory("/src", source)
        .with_workdir("/src")
        .with_env_variable("GREETING", "hello")
        .with_exec(["sh", "-c", 'cat in.txt && echo "$GREETING from $(pwd)" > out.txt'])
    )

    made = client.directory().with_new_file("deep/made.txt", "made by the API\n")
    await built.directory("/src").with_directory("made", made).export(os.environ["TEST_EXPORT"])

    failure = None
    try:
        await built.with_exec(["sh", "-c", "echo partial; echo reason >&2; exit 7"]).stdout()
    except dagger.ExecError as error:
        failure = {"exitCode": error.exit_code, "stdout": error.stdout.strip(), "stderr": error.stderr.strip()}

    print(
        json.dumps(
            {
                "stdout": await built.stdout(),
                "contents": await built.file("/src/out.txt").contents(),
                "entries": await built.directory("/src").entries(),
                "variable": await built.env_variable("GREETING"),
                "command": await built.with_entrypoint(["echo"]).with_exec(["echo", "x"]).stdout(),
                "failure": failure,
            }
        )
    )
