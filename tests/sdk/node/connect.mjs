import { connect, ExecError } from "@dagger.io/dagger"
import { pipeline } from "./pipeline.mjs"

await connect((client) => pipeline(client, ExecError), { LogOutput: process.stderr })
