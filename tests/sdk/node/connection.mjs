import { connection, dag, ExecError } from "@dagger.io/dagger"
import { pipeline } from "./pipeline.mjs"

await connection(() => pipeline(dag, ExecError), { LogOutput: process.stderr })
