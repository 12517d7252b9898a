// core/session/schema/schema.h — the SDL texts of this folder, embedded when the program is built.
#pragma once
#include <string>
#include <vector>

namespace dagger::session {

std::vector<std::string> schema_texts();

}  // namespace dagger::session
