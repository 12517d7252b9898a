// The API against a runner in memory: what ops a query makes, what it answers, what goes over the link.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/session/endpoint.h"
#include "tests/unit/session/fake_runner.h"

namespace dagger::session {
namespace {

using nlohmann::json;

constexpr const char* image_config = R"({"architecture":"amd64","os":"linux","config":{
  "Env":["PATH=/usr/bin","LANG=C"],"Cmd":["/bin/sh"],"Entrypoint":["/entry"],"WorkingDir":"/go","User":"web"}})";

class Api : public ::testing::Test {
 protected:
  Api() {
    runner.pins["alpine:3"] = {"sha256:aa", "docker.io/library/alpine:3@sha256:aa", 0, image_config, ""};
    new_session();
  }
  ~Api() override { end_session(); }

  void new_session() {
    Client client;
    client.workdir = dir.path();
    client.env = {{"TOKEN", "from the environment"}};
    services.emplace(loop, pool, 2U, runner, plugins, std::move(client));
    services->engine = {"0.1.0", "fake", "linux/amd64"};
    tasks.emplace(loop);
    endpoint.emplace(*services, pool, *tasks);
  }
  void end_session() {
    run(finish());
    endpoint.reset();
    tasks.reset();
    services.reset();
  }
  Task<void> finish() {
    co_await tasks->join();
    co_await services->join();
  }

  void run(Task<void> task) {
    std::exception_ptr failure;
    TaskGroup group(loop);
    group.spawn(stop_after(std::move(task), failure));
    loop.run();
    if (failure) std::rethrow_exception(failure);
  }
  Task<void> stop_after(Task<void> task, std::exception_ptr& failure) {
    try {
      co_await task;
    } catch (...) {
      failure = std::current_exception();
    }
    loop.stop();
  }
  Task<void> execute(GraphqlRequest request, CancelToken cancel, std::string& answer) {
    answer = (co_await endpoint->execute(std::move(request), std::move(cancel))).to_json();
  }
  json ask(std::string query, std::string version = "") {
    GraphqlRequest request;
    request.query = std::move(query);
    request.version = graphql::Version::parse(version);
    std::string answer;
    run(execute(std::move(request), CancelToken(), answer));
    return json::parse(answer);
  }
  static GraphqlRequest large_step() {
    GraphqlRequest request;
    request.query = "{directory{withNewFile(path:\"f\",contents:\"" + std::string(2000, 'x') + "\"){sync}}}";
    return request;
  }
  Task<void> until_put() {
    while (std::ranges::find(runner.calls, std::string(link::method::put_ops)) == runner.calls.end()) {
      OneShot<Unit> turn(loop);
      loop.post([turn] { turn.set({}); });
      co_await turn;
    }
  }
  // The step is refused after the other request has ended.
  Task<void> beside_a_large_step(std::string& failed, std::string& other) {
    TaskGroup group(loop);
    group.spawn(execute(large_step(), CancelToken(), failed));
    co_await until_put();
    GraphqlRequest small;
    small.query = R"({container{from(address:"alpine:3"){withExec(args:["x"]){stdout}}}})";
    co_await execute(std::move(small), CancelToken(), other);
    runner.refusal->set({});
    co_await group.join();
  }
  // The step is refused after its request has ended.
  Task<void> cancel_a_large_step(std::string& answer) {
    CancelSource gone;
    TaskGroup group(loop);
    group.spawn(execute(large_step(), gone.token(), answer));
    co_await until_put();
    gone.request("cancelled");
    try {
      co_await group.join();
    } catch (const Error& error) {
      answer = error.what();
    }
    runner.refusal->set({});
  }
  json data(std::string query, std::string version = "") {
    const auto answer = ask(std::move(query), std::move(version));
    EXPECT_FALSE(answer.contains("errors")) << answer.dump();
    return answer["data"];
  }
  std::string error(std::string query, std::string version = "") {
    const auto answer = ask(std::move(query), std::move(version));
    return answer.contains("errors") ? answer["errors"][0]["message"].get<std::string>() : "no error: " + answer.dump();
  }

  TempDir dir;
  Log log{Level::off, -1};
  Loop loop;
  Pool pool{"test", 3};
  Spawner spawner;
  plugin::Registry plugins{{}, log, spawner};
  FakeRunner runner{loop};
  std::optional<Services> services;
  std::optional<TaskGroup> tasks;
  std::optional<Endpoint> endpoint;
};

TEST_F(Api, HasAResolverForEveryField) { EXPECT_EQ(endpoint->problems(), std::vector<std::string>{}); }

TEST_F(Api, RunsACommandInAnImage) {
  const auto answer = data(R"({container{from(address:"alpine:3"){withExec(args:["echo","hi"]){stdout}}}})");
  EXPECT_EQ(answer["container"]["from"]["withExec"]["stdout"], "hi\n");
  const auto execs = runner.all<dag::Exec>();
  ASSERT_EQ(execs.size(), 1U);
  EXPECT_EQ(execs[0].args, (std::vector<std::string>{"/entry", "echo", "hi"}));
  EXPECT_EQ(execs[0].cwd, "/go");
  EXPECT_EQ(execs[0].user, "web");
  EXPECT_EQ(execs[0].env, (dag::Pairs{{"PATH", "/usr/bin"}, {"LANG", "C"}}));
}

TEST_F(Api, PutsEachOpOnceAndPinsAReferenceOnce) {
  const char* query = R"({container{from(address:"alpine:3"){withExec(args:["a"]){stdout stderr id}}}})";
  data(query);
  data(query);
  EXPECT_EQ(std::ranges::count(runner.calls, std::string(link::method::put_ops)), 1);
  EXPECT_EQ(std::ranges::count(runner.calls, std::string(link::method::pin)), 1);
  EXPECT_EQ(std::ranges::count(runner.calls, std::string(link::method::put_recipe)), 1);
}

TEST_F(Api, PutsInputsBeforeTheirUsers) {
  std::string query = "stdout";
  for (int i = 0; i < 30; ++i) query = "withExec(args:[\"" + std::to_string(i) + "\"]){" + query + "}";
  data("{container{" + query + "}}");  // the fake runner looks
  EXPECT_EQ(runner.all<dag::Exec>().size(), 30U);
}

TEST_F(Api, AStepThatCannotBePutKeepsUpNobodyElse) {
  runner.message_bytes = 1000;
  runner.refusal.emplace(loop);
  std::string failed, other;
  run(beside_a_large_step(failed, other));
  EXPECT_NE(failed.find("too large"), std::string::npos) << failed;
  EXPECT_EQ(json::parse(other)["data"]["container"]["from"]["withExec"]["stdout"], "hi\n");
}

TEST_F(Api, ACancelledRequestDoesNotWaitForItsSteps) {
  runner.message_bytes = 1000;
  runner.refusal.emplace(loop);
  std::string cancelled;
  run(cancel_a_large_step(cancelled));
  EXPECT_NE(cancelled.find("cancelled"), std::string::npos) << cancelled;
}

TEST_F(Api, KnowsWhichGenerationWantsTheEntrypoint) {
  const auto args_of = [this](const std::string& arguments, const std::string& version) {
    runner.ops.clear();
    end_session();
    new_session();
    data(R"({container{from(address:"alpine:3"){withExec(args:["x"])" + arguments + "){stdout}}}}", version);
    return runner.all<dag::Exec>().at(0).args.size();
  };
  EXPECT_EQ(args_of("", ""), 2U);
  EXPECT_EQ(args_of("", "0.9.11"), 2U);
  EXPECT_EQ(args_of("", "0.12.0"), 1U);
  EXPECT_EQ(args_of(" skipEntrypoint:true", ""), 1U);
  EXPECT_EQ(args_of(" useEntrypoint:true", "0.21.0"), 2U);
}

TEST_F(Api, RefusesNestingInsteadOfLeavingItOut) {
  const char* query = R"({container{from(address:"alpine:3"){
      withExec(args:["x"], experimentalPrivilegedNesting:true){stdout}}}})";
  EXPECT_NE(error(query).find("experimentalPrivilegedNesting is not supported"), std::string::npos) << error(query);
}

TEST_F(Api, ReportsAFailedExecWithItsDetails) {
  runner.failure = link::ExecFailure{{"sh", "-c", "exit 3"}, 3, "some out", "some err"};
  const auto answer = ask(R"({container{from(address:"alpine:3"){withExec(args:["sh"]){sync}}}})");
  const auto& error = answer["errors"][0];
  EXPECT_EQ(error["message"], "process \"sh -c exit 3\" did not complete successfully: exit code: 3");
  EXPECT_EQ(error["extensions"], (json{{"_type", "EXEC_ERROR"},
                                       {"cmd", {"sh", "-c", "exit 3"}},
                                       {"exitCode", 3},
                                       {"stdout", "some out"},
                                       {"stderr", "some err"}}));
}

TEST_F(Api, SaysWhatSourceIsMissing) {
  const auto text = error(R"({container{from(address:"nope:1"){id}}})");
  EXPECT_NE(text.find("no source for oci:nope:1"), std::string::npos) << text;
}

TEST_F(Api, AnIdIsValidInAnotherSession) {
  const auto id =
      data(R"({container(platform:"linux/arm64"){withEnvVariable(name:"A",value:"b"){id}}})")["container"]
                                                                                             ["withEnvVariable"]["id"]
                                                                                                 .get<std::string>();
  EXPECT_TRUE(id.starts_with("container-")) << id;
  end_session();
  new_session();
  const auto answer = data("{loadContainerFromID(id:\"" + id + R"("){platform envVariable(name:"A")}})");
  EXPECT_EQ(answer["loadContainerFromID"], (json{{"platform", "linux/arm64"}, {"envVariable", "b"}}));
}

TEST_F(Api, RefusesIdsOfAnotherKindAndUnknownOnes) {
  const auto id = data(R"({cacheVolume(key:"k"){id}})")["cacheVolume"]["id"].get<std::string>();
  EXPECT_EQ(error("{loadContainerFromID(id:\"" + id + "\"){platform}}"), "ID type mismatch: CacheVolume != Container");
  EXPECT_EQ(error(R"({loadContainerFromID(id:"nonsense"){platform}})"), "malformed ID: \"nonsense\"");
  const auto load = [this](const std::string& id) {
    return error("{loadContainerFromID(id:\"" + id + "\"){platform}}");
  };
  EXPECT_EQ(load("container-aaaa\\u0000" + std::string(100, 'a')),
            "malformed ID: \"container-aaaa...\" holds a zero byte");
  EXPECT_EQ(load("container-" + std::string(25, 'a') + "\\u0000").substr(0, 13), "malformed ID:");
  EXPECT_EQ(load("core.Container:" + std::string(500, 'x')),
            "malformed ID: \"core.Container:" + std::string(65, 'x') + "...\"");
  EXPECT_EQ(load(std::string(79, 'x') + "\u00e9\u00e9"), "malformed ID: \"" + std::string(79, 'x') + "...\"");
  EXPECT_EQ(error(R"({loadFileFromID(id:"file-aaaaaaaaaaaaaaaaaaaaaaaaaa"){size}})"), "id unknown or expired");
}

TEST_F(Api, TakesAnEmptyDirectoryIdForAnEmptyDirectory) {
  data(R"({directory{withDirectory(path:"d", directory:""){entries}}})");
  EXPECT_EQ(runner.all<dag::Copy>().at(0).target, "/d");
}

TEST_F(Api, LoadsANodeByItsId) {
  const auto id = data(R"({container{id}})")["container"]["id"].get<std::string>();
  const auto answer = data("{node(id:\"" + id + R"("){__typename ... on Container{platform}}})", "0.21.1");
  EXPECT_EQ(answer["node"], (json{{"__typename", "Container"}, {"platform", "linux/amd64"}}));
}

TEST_F(Api, ASecretsValueIsInNoIdAndNoRecipe) {
  const auto answer = data(R"({setSecret(name:"t", plaintext:"hunter2"){id plaintext}})");
  EXPECT_EQ(answer["setSecret"]["plaintext"], "hunter2");
  for (const auto& [id, recipe] : runner.recipes) EXPECT_EQ(recipe.body.find("hunter2"), std::string::npos);
}

TEST_F(Api, SiblingsDoNotSeeEachOthersChanges) {
  const auto answer = data(R"({container{a:withEnvVariable(name:"F",value:"B"){envVariable(name:"F")}
                                         b:envVariable(name:"F")}})");
  EXPECT_EQ(answer["container"]["a"]["envVariable"], "B");
  EXPECT_TRUE(answer["container"]["b"].is_null());
}

TEST_F(Api, ExpandsVariablesOnRequest) {
  const auto answer = data(R"({container{from(address:"alpine:3"){
      a:withEnvVariable(name:"P",value:"/opt:$PATH:${NO}x",expand:true){envVariable(name:"P")}
      b:withEnvVariable(name:"P",value:"$PATH"){envVariable(name:"P")}}}})");
  EXPECT_EQ(answer["container"]["from"]["a"]["envVariable"], "/opt:/usr/bin:x");
  EXPECT_EQ(answer["container"]["from"]["b"]["envVariable"], "$PATH");
}

TEST_F(Api, TheReferenceOfAChangedImageIsAnError) {
  const auto answer =
      data(R"({container{from(address:"alpine:3"){imageRef withLabel(name:"a",value:"b"){imageRef}}}})")["container"]
                                                                                                        ["from"];
  EXPECT_EQ(answer["imageRef"], "docker.io/library/alpine:3@sha256:aa");
  EXPECT_EQ(answer["withLabel"]["imageRef"], answer["imageRef"]);
  EXPECT_NE(error(R"({container{from(address:"alpine:3"){withExec(args:["x"]){imageRef}}}})").find("is changed"),
            std::string::npos);
}

TEST_F(Api, AWriteIntoAMountIsSeenByLaterSteps) {
  const auto id = data(R"({directory{withNewFile(path:"f",contents:"x"){id}}})")["directory"]["withNewFile"]["id"]
                      .get<std::string>();
  data(R"({container{from(address:"alpine:3"){withMountedDirectory(path:"/m",source:")" + id +
       R"("){withExec(args:["a"]){withExec(args:["b"]){stdout}}}}}})");
  for (const auto& [digest, op] : runner.ops) {
    const auto* exec = std::get_if<dag::Exec>(&op.fields);
    if (exec == nullptr || exec->args.back() != "b") continue;
    const auto& input = op.inputs.at(static_cast<std::size_t>(exec->mounts.at(0).input));
    EXPECT_EQ(input.output, "mount:/m");
    EXPECT_EQ(std::get<dag::Exec>(runner.op(input.op).fields).args.back(), "a");
  }
}

TEST_F(Api, MountsReplaceWhatTheyCover) {
  const auto answer = data(R"({container{withMountedTemp(path:"/a/b"){withMountedTemp(path:"/c"){
      withMountedTemp(path:"/a"){mounts withoutMount(path:"/c"){mounts}}}}}})");
  const auto& last = answer["container"]["withMountedTemp"]["withMountedTemp"]["withMountedTemp"];
  EXPECT_EQ(last["mounts"], (json{"/c", "/a"}));
  EXPECT_EQ(last["withoutMount"]["mounts"], (json{"/a"}));
}

TEST_F(Api, ReadsAFileThatExistsAndNamesOneThatDoesNot) {
  runner.stats["/f"] = {true, 1, 0644, 5, 0};
  runner.stats["/d"] = {true, 0, 0755, 0, 0};
  runner.files["/f"] = "hello";
  EXPECT_EQ(data(R"({directory{file(path:"f"){contents size}}})")["directory"]["file"],
            (json{{"contents", "hello"}, {"size", 5}}));
  EXPECT_EQ(error(R"({directory{file(path:"bogus"){id}}})"), "bogus: no such file or directory");
  EXPECT_EQ(error(R"({directory{file(path:"d"){id}}})"), "path d is a directory, not a file");
  EXPECT_EQ(error(R"({directory{directory(path:"f"){id}}})"), "path f is a file, not a directory");
  EXPECT_NE(error(R"({directory{withNewDirectory(path:"../x"){id}}})").find("leaves the directory"), std::string::npos);
}

TEST_F(Api, RefusesAFileThatIsTooLargeToAnswerWith) {
  runner.stats["/f"] = {true, 1, 0644, 134217729, 0};
  EXPECT_NE(error(R"({directory{file(path:"f"){contents}}})").find("file size 134217729 exceeds limit 134217728"),
            std::string::npos);
}

TEST_F(Api, ListsDirectoriesAsTheClientsGenerationExpects) {
  runner.listing = {{"f", false}, {"sub", true}};
  EXPECT_EQ(data("{directory{entries}}")["directory"]["entries"], (json{"f", "sub"}));
  EXPECT_EQ(data("{directory{entries}}", "0.17.0")["directory"]["entries"], (json{"f", "sub/"}));
}

TEST_F(Api, AHostDirectoryStaysAsItWasWhenFirstAskedFor) {
  write_file_atomically(dir.path() + "/a.txt", "one");
  const auto id_of = [this] { return data(R"({host{directory(path:"."){id}}})")["host"]["directory"]["id"]; };
  const auto first = id_of();
  write_file_atomically(dir.path() + "/a.txt", "two, longer");
  EXPECT_EQ(id_of(), first);
  EXPECT_EQ(runner.syncs.size(), 1U);
  end_session();
  new_session();
  EXPECT_NE(id_of(), first);
}

TEST_F(Api, APathOutOfTheWorkdirIsRefusedWithoutTellingWhereItIs) {
  const auto text = error(R"({host{directory(path:"../"){id}}})");
  EXPECT_NE(text.find("path \"..\" escapes workdir; use an absolute path instead"), std::string::npos) << text;
  EXPECT_EQ(text.find(dir.path()), std::string::npos);
  EXPECT_TRUE(error(R"({host{directory(path:"none"){id}}})").starts_with("host directory none:"));
}

TEST_F(Api, SendsAUrlToTheSourceOfItsScheme) {
  runner.pins["//world"] = {"hello:1", "hello://world", 2, "", "greeting"};
  runner.stats["/greeting"] = {true, 1, 0644, 2, 0};
  runner.files["/greeting"] = "hi";
  EXPECT_EQ(data(R"({http(url:"hello://world"){name contents}})")["http"],
            (json{{"name", "greeting"}, {"contents", "hi"}}));
  EXPECT_EQ(runner.all<dag::Source>().at(0).scheme, "hello");
  data(R"({git(url:"hello://world"){branch(name:"main"){tree{entries}}}})");
}

TEST_F(Api, AnswersExportsInTheTypeOfTheClientsGeneration) {
  runner.exported_tar = std::string(1024, '\0');
  EXPECT_EQ(data(R"({directory{export(path:"out")}})", "0.9.3")["directory"]["export"], true);
  EXPECT_EQ(data(R"({directory{export(path:"out")}})", "0.12.0")["directory"]["export"], dir.path() + "/out");
}

TEST_F(Api, RemembersTheGenerationThatAClientClaimsButTakesDocumentsOfOthers) {
  runner.exported_tar = std::string(1024, '\0');
  const char* query = R"({directory{export(path:"out")}})";
  EXPECT_TRUE(data(query)["directory"]["export"].is_string());
  EXPECT_EQ(data(R"({checkVersionCompatibility(version:"0.9.11")})")["checkVersionCompatibility"], true);
  EXPECT_EQ(data(query)["directory"]["export"], true);
  const auto id = data("{container{id}}")["container"]["id"].get<std::string>();
  EXPECT_EQ(data("{node(id:\"" + id + "\"){id}}")["node"]["id"], id);
}

TEST_F(Api, RefusesPathsThatNoFileCanHave) {
  const std::string zero = "holds a zero byte";
  for (const char* query : {R"({directory{withNewFile(path:"a\u0000b",contents:""){entries}}})",
                            R"({directory{file(path:"a\u0000b"){id}}})", R"({container{file(path:"a\u0000b"){id}}})",
                            R"({container{withWorkdir(path:"a\u0000b"){workdir}}})",
                            R"({file(name:"a\u0000b",contents:""){id}})", R"({host{directory(path:"a\u0000b"){id}}})"})
    EXPECT_NE(error(query).find(zero), std::string::npos) << query;
  for (const char* name : {"", ".", "..", "a/b"})
    EXPECT_NE(error(R"({file(name:")" + std::string(name) + R"(",contents:""){id}})").find("one path component"),
              std::string::npos)
        << name;
  EXPECT_NE(error(R"({container{withMountedTemp(path:"/a/.."){id}}})").find("withRootfs"), std::string::npos);
}

TEST_F(Api, LooksUpAnOwnerInTheRootFilesystemForAFileInAMount) {
  const auto owned_write = [this](const std::string& path) {
    runner.ops.clear();
    end_session();
    new_session();
    data(R"({container{from(address:"alpine:3"){withMountedTemp(path:"/t"){withMountedDirectory(path:"/m",source:")" +
         data("{directory{id}}")["directory"]["id"].get<std::string>() + R"("){withNewFile(path:")" + path +
         R"(",contents:"x",owner:"web"){withExec(args:["x"]){stdout}}}}}}})");
    for (const auto& [digest, op] : runner.ops)
      if (std::holds_alternative<dag::Write>(op.fields)) return op;
    return dag::Op{};
  };
  const auto in_root = owned_write("/a");
  ASSERT_EQ(in_root.inputs.size(), 1U);
  const auto in_mount = owned_write("/m/a");
  ASSERT_EQ(in_mount.inputs.size(), 2U);
  EXPECT_EQ(in_mount.inputs[1], in_root.inputs[0]);
}

TEST_F(Api, TellsRecentClientsByTheirLooks) {
  const auto args_of = [this](const std::string& user_agent, bool traced, const std::string& question,
                              const std::string& then = "{defaultPlatform}") {
    runner.ops.clear();
    end_session();
    new_session();
    for (const auto& query :
         {question, then, std::string(R"({container{from(address:"alpine:3"){withExec(args:["x"]){stdout}}}})")}) {
      GraphqlRequest request;
      request.query = query;
      request.user_agent = user_agent;
      request.traced = traced;
      std::string answer;
      run(execute(std::move(request), CancelToken(), answer));
      EXPECT_EQ(answer.find("errors"), std::string::npos) << answer;
    }
    return runner.all<dag::Exec>().at(0).args.size();
  };
  const std::size_t with_entrypoint = 2, without_entrypoint = 1;
  const char* other = "{defaultPlatform}";
  EXPECT_EQ(args_of("node-fetch", false, other), without_entrypoint);
  EXPECT_EQ(args_of("Go-http-client/1.1", true, other), without_entrypoint);
  EXPECT_EQ(args_of("python-httpx/0.28.1", false, "{version}"), without_entrypoint);
  EXPECT_EQ(args_of("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", false, "{version}"), without_entrypoint);
  EXPECT_EQ(args_of("node-fetch/1.0 (+https://github.com/bitinn/node-fetch)", true, other), with_entrypoint);
  EXPECT_EQ(args_of("Go-http-client/1.1", true, R"({checkVersionCompatibility(version:"0.11.9")})"), with_entrypoint);
  EXPECT_EQ(args_of("node-fetch/1.0", false, R"({checkVersionCompatibility(version:"0.11.9")})", "{version}"),
            with_entrypoint);
  EXPECT_EQ(args_of("Go-http-client/1.1", false, "{version}"), with_entrypoint);
  EXPECT_EQ(args_of("python-httpx/0.28.1", false, other), with_entrypoint);
  EXPECT_EQ(args_of("curl/7.88.1", false, "{version}"), with_entrypoint);
}

TEST_F(Api, TellsEarlyClientsByTheirLooks) {
  runner.exported_tar = std::string(1024, '\0');
  GraphqlRequest request;
  request.query = R"({directory{export(path:"out")}})";
  request.user_agent = "Go-http-client/1.1";
  request.host = "dagger";
  std::string answer;
  run(execute(request, CancelToken(), answer));
  EXPECT_EQ(json::parse(answer)["data"]["directory"]["export"], true) << answer;
  request.host = "127.0.0.1:1234";
  run(execute(std::move(request), CancelToken(), answer));
  EXPECT_TRUE(json::parse(answer)["data"]["directory"]["export"].is_string()) << answer;
}

TEST_F(Api, ShowsAllOfTheSchemaToAClientWhoseGenerationIsAGuess) {
  const auto ask_as = [this](const char* text) {
    GraphqlRequest request;
    request.query = text;
    request.user_agent = "python-httpx/0.28.1";
    std::string answer;
    run(execute(std::move(request), CancelToken(), answer));
    return answer;
  };
  const char* schema = "{__schema{queryType{fields{name}}}}";
  const auto before = ask_as(schema);
  EXPECT_NE(before.find("checkVersionCompatibility"), std::string::npos);
  ask_as("{version}");
  EXPECT_EQ(ask_as(schema), before);
}

TEST_F(Api, ACancelledRequestCancelsWhatItWaitsFor) {
  runner.hang = true;
  CancelSource cancel;
  GraphqlRequest request;
  request.query = R"({container{from(address:"alpine:3"){withExec(args:["x"]){stdout}}}})";
  std::string answer;
  const auto poll = [&](auto& again) -> void {
    if (std::ranges::find(runner.calls, std::string(link::method::exec_output)) == runner.calls.end())
      loop.post([&again] { again(again); });
    else
      loop.post([&cancel] { cancel.request("the client hung up"); });
  };
  loop.post([&] { poll(poll); });
  EXPECT_THROW(run(execute(std::move(request), cancel.token(), answer)), Error);
  EXPECT_EQ(runner.cancelled, link::method::exec_output);
}

}  // namespace
}  // namespace dagger::session
