// tests/fuzz/property.h — what fuzz targets say of their input: our own errors are answers, a broken property is a
// crash that the fuzzer reports.
#pragma once
#include <cstdlib>

#include "dagger/plugin/error.h"

namespace dagger::fuzz {

template <class F>
void try_it(F f) {
  try {
    f();
  } catch (const Error&) {
  }
}

inline void check(bool holds) {
  if (!holds) std::abort();
}

}  // namespace dagger::fuzz
