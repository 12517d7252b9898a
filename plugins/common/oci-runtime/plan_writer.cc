#include "plugins/common/oci-runtime/plan_writer.h"

#include <sys/mman.h>

#include "plugins/common/sys/sys.h"

namespace dagger::oci {

int PlanWriter::borrow(int fd) {
  fds_.push_back(fd);
  return first_free_fd + static_cast<int>(fds_.size()) - 1;
}

int PlanWriter::own(UniqueFd fd) {
  owned_.push_back(std::move(fd));
  return borrow(owned_.back().get());
}

void PlanWriter::put(Step step, std::string_view path, std::string_view text) {
  step.path_size = static_cast<std::uint32_t>(path.size());
  step.text_size = static_cast<std::uint32_t>(text.size());
  bytes_.append(reinterpret_cast<const char*>(&step), sizeof step);
  bytes_.append(path).push_back('\0');
  bytes_.append(text).push_back('\0');
  bytes_.resize((bytes_.size() + 7) / 8 * 8);
}

void PlanWriter::add(StepKind kind, std::string_view path, int helper_fd, unsigned mode) {
  put({kind, helper_fd, mode, 0, 0, 0, 0}, path, {});
}

void PlanWriter::tmpfs(std::string_view path, std::string_view options) {
  put({StepKind::tmpfs, -1, 0, 0, 0, 0, 0}, path, options);
}

void PlanWriter::file(std::string_view path, std::string_view text, unsigned mode, std::uint32_t uid,
                      std::uint32_t gid) {
  put({StepKind::file, -1, mode, uid, gid, 0, 0}, path, text);
}

void PlanWriter::run(std::string_view pid_file, const std::vector<std::string>& argv) {
  std::string words;
  for (const auto& a : argv) words.append(a).push_back('\0');
  put({StepKind::run, -1, 0, 0, 0, 0, 0}, pid_file, words);
}

UniqueFd PlanWriter::finish() const {
  UniqueFd fd(::memfd_create("exec-plan", MFD_CLOEXEC));
  if (!fd) sys::fail("make a memory file");
  sys::write_all(fd.get(), bytes_);
  return fd;
}

}  // namespace dagger::oci
