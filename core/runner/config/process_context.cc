#include <unistd.h>

#include <cstdlib>
#include <thread>

#include "core/runner/config/config.h"

namespace dagger::runner {

ConfigContext process_config_context(std::string file, std::string install_dir) {
  ConfigContext context;
  context.file = std::move(file);
  context.install_dir = std::move(install_dir);
  context.env = [](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
  context.uid = ::geteuid();
  context.cores = std::thread::hardware_concurrency();
  return context;
}

}  // namespace dagger::runner
