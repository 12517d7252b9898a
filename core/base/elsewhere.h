// core/base/elsewhere.h — runs work on another thread and waits for what it returns.
//
// For threads that may block, never for the control thread. An error crosses as a value: the count of an exception
// object lives inside libstdc++, where ThreadSanitizer does not see it. [thread-safe]
#pragma once
#include <future>
#include <type_traits>
#include <utility>
#include <variant>

#include "dagger/plugin/error.h"

namespace dagger {

// `submit` hands a callable to the other thread, which must run it. Throws the Error that `work` throws.
template <class Submit, class Work>
std::invoke_result_t<Work&> run_elsewhere(Submit&& submit, Work work) {
  using Result = std::invoke_result_t<Work&>;
  using Outcome = std::variant<Result, Error>;
  std::promise<Outcome> promise;
  auto future = promise.get_future();
  submit([promise = std::move(promise), &work]() mutable {
    const auto attempt = [&]() -> Outcome {
      try {
        return Outcome(std::in_place_index<0>, work());
      } catch (const Error& e) {
        return e;
      } catch (const std::exception& e) {
        return Error(Code::internal, e.what());
      }
    };
    promise.set_value(attempt());
  });
  auto outcome = future.get();
  if (auto* error = std::get_if<Error>(&outcome)) throw Error(std::move(*error));
  return std::get<0>(std::move(outcome));
}

}  // namespace dagger
