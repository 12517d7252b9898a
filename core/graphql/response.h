// core/graphql/response.h — the answer to one request. A plain value.
#pragma once
#include <string>
#include <vector>

#include "core/graphql/error.h"

namespace dagger::graphql {

struct Response {
  std::string data;                   // JSON text; "" when execution never began
  std::vector<ResponseError> errors;  // "locations" is always written: old Python clients need it

  // {"data":...} and, only when there are any, "errors"; compact, without a newline at the end.
  std::string to_json() const;
};

Response response_of(const RequestError& error);

}  // namespace dagger::graphql
