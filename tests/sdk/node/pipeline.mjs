// What every SDK does here, in Node; the entry files say how each generation connects.
// The answer is one line of JSON on stdout, which sdk_test.py compares.

export async function pipeline(client, ExecError) {
  const { TEST_IMAGE, TEST_SOURCE, TEST_EXPORT } = process.env

  const built = client
    .container()
    .from(TEST_IMAGE)
    .withMountedDirectory("/src", client.host().directory(TEST_SOURCE, { exclude: ["*.skip"] }))
    .withWorkdir("/src")
    .withEnvVariable("GREETING", "hello")
    .withExec(["sh", "-c", 'cat in.txt && echo "$GREETING from $(pwd)" > out.txt'])

  const made = client.directory().withNewFile("deep/made.txt", "made by the API\n")
  await built.directory("/src").withDirectory("made", made).export(TEST_EXPORT)

  let failure = null
  try {
    await built.withExec(["sh", "-c", "echo partial; echo reason >&2; exit 7"]).stdout()
  } catch (error) {
    if (!(error instanceof ExecError)) throw error
    failure = { exitCode: error.exitCode, stdout: error.stdout.trim(), stderr: error.stderr.trim() }
  }

  console.log(
    JSON.stringify({
      stdout: await built.stdout(),
      contents: await built.file("/src/out.txt").contents(),
      entries: await built.directory("/src").entries(),
      variable: await built.envVariable("GREETING"),
      command: await built.withEntrypoint(["echo"]).withExec(["echo", "x"]).stdout(),
      failure,
    }),
  )
}
