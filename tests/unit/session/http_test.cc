// GraphQL over HTTP: reading requests, choosing answers; and the listener over real sockets.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "core/session/http/message.h"
#include "core/session/http/server.h"

namespace dagger::session {
namespace {

HttpRequest post(std::string type, std::string body, std::string target = "/query") {
  return {"POST", std::move(target), {{"content-type", std::move(type)}}, std::move(body)};
}
unsigned status_of(const HttpRequest& request) {
  try {
    graphql_request(request);
    return 200;
  } catch (const HttpError& error) {
    return error.status();
  }
}

TEST(GraphqlRequest, ComesAsJsonFormDocumentOrUrl) {
  EXPECT_EQ(graphql_request(post("application/json", R"({"query":"{a}","operationName":"","variables":null})")).query,
            "{a}");
  EXPECT_EQ(graphql_request(post("", R"({"query":"{a}"})")).query, "{a}");
  EXPECT_EQ(graphql_request(post("application/graphql", "{a}")).query, "{a}");
  EXPECT_EQ(graphql_request(post("application/x-www-form-urlencoded", "query=%7Ba%7D&operationName=N")).operation_name,
            "N");
  EXPECT_EQ(graphql_request(post("application/x-www-form-urlencoded", R"({"query":"{a}"})")).query, "{a}");
  EXPECT_EQ(graphql_request(post("", R"({"query":"{b}"})", "/query?query=%7Ba+b%7D")).query, "{a b}");
  const auto get = graphql_request({"GET", "/query?query={a}&variables=%7B%22x%22%3A1%7D", {}, ""});
  EXPECT_EQ(*get.variables.find("x")->as_int(), 1);
}

TEST(GraphqlRequest, MayNameItsTargetInFull) {
  EXPECT_EQ(status_of(post("", R"({"query":"{a}"})", "http://127.0.0.1:1234/query")), 200U);
  EXPECT_EQ(graphql_request({"GET", "HTTP://x/query?query=%7Bb%7D", {}, ""}).query, "{b}");
  for (const char* other : {"http://x", "http://x?query={a}", "http://x/", "http://x/other", "http:///", "http:/query"})
    EXPECT_EQ(status_of(post("", R"({"query":"{a}"})", other)), 404U) << other;
}

TEST(GraphqlRequest, TakesVariablesThatWereEncodedTwice) {
  const auto request = graphql_request(post("", R"({"query":"{a}","variables":"{\"x\":\"y\"}"})"));
  EXPECT_EQ(*request.variables.find("x")->as_string(), "y");
}

TEST(GraphqlRequest, RefusesWhatIsNone) {
  EXPECT_EQ(status_of(post("application/json", "{")), 400U);
  EXPECT_EQ(status_of(post("application/json", "[]")), 400U);
  EXPECT_EQ(status_of(post("application/json", "{}")), 400U);
  EXPECT_EQ(status_of(post("application/json", R"({"query":1})")), 400U);
  EXPECT_EQ(status_of(post("application/json", R"({"query":"{a}","variables":[1]})")), 400U);
  EXPECT_EQ(status_of(post("application/json", R"({"query":"{a}","variables":"[1]"})")), 400U);
  EXPECT_EQ(status_of({"GET", "/query?query={a}&variables=7", {}, ""}), 400U);
  EXPECT_EQ(status_of(post("", R"({"query":"{a}"})", "/other")), 404U);
  EXPECT_EQ(status_of({"GET", "/query", {}, ""}), 400U);
  EXPECT_EQ(status_of({"GET", "/query?query=%zz", {}, ""}), 400U);
  EXPECT_EQ(status_of({"DELETE", "/query", {}, ""}), 405U);
}

TEST(GraphqlResponse, HasTheStatusOfItsMediaType) {
  graphql::Response refused;
  refused.errors.push_back({"no such field", {}, {}, {}});
  const auto type = [&](const char* accept) { return graphql_response(accept, refused); };
  EXPECT_EQ(type("*/*").status, 200U);
  EXPECT_EQ(type("*/*").content_type, "application/json; charset=utf-8");
  EXPECT_EQ(type("application/graphql-response+json, application/json").status, 400U);
  EXPECT_EQ(type("application/json, application/graphql-response+json").status, 200U);
  EXPECT_EQ(type("application/graphql-response+json;q=0.5, application/json").status, 200U);
  graphql::Response answered;
  answered.data = "null";
  EXPECT_EQ(graphql_response("application/graphql-response+json", answered).status, 200U);
}

TEST(Authorization, IsTheTokenAsUserName) {
  EXPECT_TRUE(authorized("Basic dG9rZW46", "token"));
  EXPECT_TRUE(authorized("basic dG9rZW46cHc=", "token"));
  for (const char* wrong : {"", "Basic", "Basic dG9rZQ==", "Bearer dG9rZW46", "Basic !!!", "Basic dG9rZW4xOg=="})
    EXPECT_FALSE(authorized(wrong, "token")) << wrong;
}

// A listener whose answers echo the body; "/slow" waits until the client is gone.
class Listener : public ::testing::Test {
 protected:
  explicit Listener(std::chrono::milliseconds authorize_within = std::chrono::seconds(60)) {
    HttpOptions options;
    options.authorize_within = authorize_within;
    options.token = "token";
    options.header_bytes = 4096;
    options.body_bytes = 1 << 16;
    server.emplace(loop, std::move(options), [this](HttpRequest request, CancelToken cancel) {
      return answer(std::move(request), std::move(cancel));
    });
    port = server->listen();
    thread = std::thread([this] { loop.run(); });
  }
  ~Listener() override {
    loop.post([this] { group.spawn(stop()); });
    thread.join();
  }
  Task<void> stop() {
    co_await server->stop();
    loop.stop();
  }
  Task<HttpResponse> answer(HttpRequest request, CancelToken cancel) {
    if (request.target == "/slow") {
      OneShot<Unit> gone(loop);
      const auto subscription = cancel.on_cancel([gone] { gone.set({}); });
      co_await gone;
      hung_up.request("seen");
    }
    HttpResponse response;
    response.body = request.body + "!";
    co_return response;
  }

  int connect() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return fd;
  }
  static std::string request(const std::string& body, const std::string& more = "",
                             const std::string& target = "/query") {
    return "POST " + target + " HTTP/1.1\r\nHost: dagger\r\nAuthorization: Basic dG9rZW46\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n" + more + "\r\n" + body;
  }
  static std::string read_until_closed(int fd) {
    std::string all;
    char buffer[4096];
    for (auto n = ::read(fd, buffer, sizeof buffer); n > 0; n = ::read(fd, buffer, sizeof buffer))
      all.append(buffer, static_cast<std::size_t>(n));
    ::close(fd);
    return all;
  }
  std::string talk(const std::string& text) const {
    const int fd = connect();
    EXPECT_EQ(::send(fd, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    return read_until_closed(fd);
  }

  Loop loop;
  TaskGroup group{loop};
  CancelSource hung_up;
  std::optional<HttpServer> server;
  std::uint16_t port = 0;
  std::thread thread;
};

TEST_F(Listener, AnswersPipelinedRequestsInOrder) {
  const auto answers = talk(request("one") + request("two") + request("three", "Connection: close\r\n"));
  const auto one = answers.find("one!"), two = answers.find("two!"), three = answers.find("three!");
  EXPECT_LT(one, two);
  EXPECT_LT(two, three);
  EXPECT_NE(three, std::string::npos);
}

TEST_F(Listener, WantsTheToken) {
  const auto answer = talk("GET /query HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 401")) << answer;
  EXPECT_NE(answer.find("WWW-Authenticate: Basic realm=\"Access to the Dagger engine session\""), std::string::npos);
}

TEST_F(Listener, RefusesWhatIsTooLargeOrNoHttp) {
  EXPECT_TRUE(talk(request(std::string(1 << 17, 'x'))).starts_with("HTTP/1.1 413"));
  EXPECT_TRUE(talk(request("", "X: " + std::string(1 << 13, 'x') + "\r\n")).starts_with("HTTP/1.1 431"));
  EXPECT_TRUE(talk("nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
}

TEST_F(Listener, SaysGoOnToAClientThatAsksBeforeItsBody) {
  const int fd = connect();
  const auto text = request("body", "Expect: 100-continue\r\nConnection: close\r\n");
  const auto head = text.substr(0, text.size() - 4);
  ASSERT_EQ(::send(fd, head.data(), head.size(), 0), static_cast<ssize_t>(head.size()));
  char go_on[25];
  ASSERT_EQ(::recv(fd, go_on, sizeof go_on, MSG_WAITALL), 25);
  EXPECT_EQ(std::string_view(go_on, 21), "HTTP/1.1 100 Continue");
  ASSERT_EQ(::send(fd, "body", 4, 0), 4);
  EXPECT_NE(read_until_closed(fd).find("body!"), std::string::npos);
}

TEST_F(Listener, NoticesAClientThatHangsUp) {
  const int fd = connect();
  const auto text = request("", "", "/slow");
  ASSERT_EQ(::send(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  ::close(fd);
  pollfd seen{hung_up.token().fd(), POLLIN, 0};
  EXPECT_EQ(::poll(&seen, 1, 10'000), 1);
}

class ImpatientListener : public Listener {
 protected:
  ImpatientListener() : Listener(std::chrono::milliseconds(250)) {}
  // Whether the other side closes it.
  static bool ends(int fd) {
    pollfd seen{fd, POLLIN, 0};
    char byte = 0;
    return ::poll(&seen, 1, 10'000) == 1 && ::recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
  }
};

TEST_F(ImpatientListener, EndsOnlyConnectionsThatDoNotShowTheToken) {
  const int known = connect(), silent = connect(), stranger = connect();
  const auto first = request("first");
  ASSERT_EQ(::send(known, first.data(), first.size(), 0), static_cast<ssize_t>(first.size()));
  ASSERT_EQ(::send(stranger, "GET /query HTTP/1.1\r\n", 21, 0), 21);
  EXPECT_TRUE(ends(silent));
  EXPECT_TRUE(ends(stranger));
  const auto last = request("last", "Connection: close\r\n");
  ASSERT_EQ(::send(known, last.data(), last.size(), MSG_NOSIGNAL), static_cast<ssize_t>(last.size()));
  EXPECT_NE(read_until_closed(known).find("last!"), std::string::npos);
  ::close(silent), ::close(stranger);
}

}  // namespace
}  // namespace dagger::session
