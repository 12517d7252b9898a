#include "core/plugin/inspect.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"
#include "core/plugin/config_schema.h"
#include "core/plugin/file_checks.h"

namespace dagger::plugin {

InspectedFile inspect_plugin(const std::string& file) {
  InspectedFile found{file, std::nullopt, ""};
  try {  // the manifest is shown even where the file is not trusted
    found.contents = read_plugin_file_fd(open_file(file, O_RDONLY | O_NONBLOCK).get());
    open_trusted(canonical_path(file));
    check_compatible(found.contents->manifest, "", "");
    if (const auto& schema = found.contents->settings_schema) parse_schema(*schema);
  } catch (const Error& e) {
    found.problem = e.what();
  }
  return found;
}

std::vector<InspectedFile> inspect_plugins(const std::vector<std::string>& dirs) {
  namespace fs = std::filesystem;
  std::vector<InspectedFile> all;
  for (const auto& dir : dirs) {
    std::error_code error;
    std::vector<std::string> files;
    for (auto it = fs::directory_iterator(dir, error); !error && it != fs::directory_iterator(); it.increment(error))
      if (it->path().extension() == ".so") files.push_back(it->path());
    if (error && error != std::errc::no_such_file_or_directory)
      all.push_back({dir, std::nullopt, "cannot be read: " + error.message()});
    std::sort(files.begin(), files.end());
    for (const auto& file : files) all.push_back(inspect_plugin(file));
  }
  return all;
}

}  // namespace dagger::plugin
