"""A small pipeline, as plain GraphQL: `dagger run` puts the session's port and token into the environment.
An official SDK does the same with types; tests/sdk has a program for each."""

import sys
from pathlib import Path

from support import graphql

QUERY = """
query ($image: String!, $source: DirectoryID!) {
  container {
    from(address: $image) {
      withMountedDirectory(path: "/src", source: $source) {
        withWorkdir(path: "/src") {
          withExec(args: ["sh", "build.sh"]) {
            stdout
            file(path: "out/report.txt") { contents }
          }
        }
      }
    }
  }
}
"""


def main(image: str):
    client = graphql.from_environment()
    path = str(Path(__file__).resolve().parent / "source")
    host = client.query("query ($path: String!) { host { directory(path: $path) { id } } }", {"path": path})
    source = host["host"]["directory"]["id"]
    data = client.query(QUERY, {"image": image, "source": source})
    done = data["container"]["from"]["withMountedDirectory"]["withWorkdir"]["withExec"]
    print(done["stdout"], end="")
    print("words counted:", done["file"]["contents"], end="")


if __name__ == "__main__":
    main(sys.argv[1])
