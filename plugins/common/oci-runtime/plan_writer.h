// plugins/common/oci-runtime/plan_writer.h — builds the plan of one helper (see plan.h) with the fds it inherits.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "dagger/plugin/unique_fd.h"
#include "plugins/common/oci-runtime/plan.h"

namespace dagger::oci {

// One thread at a time. Holds the fds it owns until destroyed.
class PlanWriter {
 public:
  // The number that fd will have in the helper. borrow: the caller keeps it open; own: kept here.
  int borrow(int fd);
  int own(UniqueFd fd);
  void add(StepKind kind, std::string_view path = {}, int helper_fd = -1, unsigned mode = 0);
  void tmpfs(std::string_view path, std::string_view options);
  void file(std::string_view path, std::string_view text, unsigned mode, std::uint32_t uid, std::uint32_t gid);
  void run(std::string_view pid_file, const std::vector<std::string>& argv);
  const std::vector<int>& fds() const noexcept { return fds_; }  // become first_free_fd, ...
  UniqueFd finish() const;                                       // a memfd with the plan

 private:
  void put(Step step, std::string_view path, std::string_view text);
  std::string bytes_;
  std::vector<int> fds_;
  std::vector<UniqueFd> owned_;
};

}  // namespace dagger::oci
