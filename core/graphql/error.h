// core/graphql/error.h — an error as the response carries it, and the one that resolvers report.
#pragma once
#include <exception>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "core/graphql/ast.h"
#include "core/graphql/value.h"

namespace dagger::graphql {

// A response key, or an index in a list.
using PathStep = std::variant<std::string, std::size_t>;

struct ResponseError {
  std::string message;
  std::vector<Location> locations;
  std::vector<PathStep> path;  // empty: not about one field, and left out of the answer
  Value extensions;            // a map, or null: left out
};

// What a resolver throws, or hands to Completion::fail(). Any other dagger::Error becomes its text without extensions.
class FieldError final : public std::exception {
 public:
  explicit FieldError(std::string message, Value extensions = {})
      : message_(std::move(message)), extensions_(std::move(extensions)) {}
  const char* what() const noexcept override { return message_.c_str(); }
  const std::string& message() const { return message_; }
  const Value& extensions() const { return extensions_; }

 private:
  std::string message_;
  Value extensions_;
};

// A document, or a set of variables, that cannot be executed: every reason at once.
class RequestError final : public std::exception {
 public:
  explicit RequestError(std::vector<ResponseError> errors) : errors_(std::move(errors)) {}
  const char* what() const noexcept override { return errors_.empty() ? "" : errors_.front().message.c_str(); }
  const std::vector<ResponseError>& errors() const { return errors_; }

 private:
  std::vector<ResponseError> errors_;
};

}  // namespace dagger::graphql
