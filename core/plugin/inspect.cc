#include "core/plugin/inspect.h"

#include <algorithm>
#include <filesystem>

namespace dagger::plugin {

std::vector<JudgedFile> inspect_plugins(const std::vector<std::string>& dirs) {
  namespace fs = std::filesystem;
  std::vector<JudgedFile> all;
  for (const auto& dir : dirs) {
    std::error_code error;
    std::vector<std::string> files;
    for (auto it = fs::directory_iterator(dir, error); !error && it != fs::directory_iterator(); it.increment(error))
      if (it->path().extension() == ".so") files.push_back(it->path());
    if (error && error != std::errc::no_such_file_or_directory)
      all.push_back({dir, std::nullopt, {Error(Code::not_found, "cannot be read: " + error.message())}});
    std::sort(files.begin(), files.end());
    for (const auto& file : files) all.push_back(judge_plugin_file(file, "", {}));
  }
  return all;
}

}  // namespace dagger::plugin
