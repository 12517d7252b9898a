// core/graphql/response.h — the answer to one request. A plain value.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "core/graphql/error.h"

namespace dagger::graphql {

// A string of the answer that is too long to be escaped while others wait: to_json() puts it where it belongs.
struct LongText {
  std::size_t offset;  // in Response::data
  std::shared_ptr<const std::string> text;
};

struct Response {
  std::string data;                   // JSON text without the long texts; "" when execution never began
  std::vector<LongText> long_texts;   // by offset
  std::vector<ResponseError> errors;  // "locations" is always written: old Python clients need it

  // {"data":...} and, only when there are any, "errors"; compact, without a newline at the end. Takes its time with
  // what is long: no work for a thread that others wait for unless is_short().
  bool is_short() const { return long_texts.empty() && errors.empty() && data.size() < short_data; }
  std::string to_json() const;

 private:
  static constexpr std::size_t short_data = 64 << 10;
};

Response response_of(const RequestError& error);

}  // namespace dagger::graphql
