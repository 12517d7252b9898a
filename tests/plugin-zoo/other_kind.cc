// An executor in a file that the configuration takes for a source.
#include "dagger/plugin/executor.h"
#include "dagger/plugin/export.h"
namespace {
class Nothing final : public dagger::plugin::Executor {
 public:
  Nothing(dagger::plugin::Host&, std::string_view) {}
  std::string_view config_schema() const noexcept override { return R"({"type": "object"})"; }
  dagger::plugin::ExecutorTraits traits() const override { return {}; }
  std::unique_ptr<dagger::plugin::Running> start(const dagger::plugin::ExecRequest&, const dagger::plugin::Stdio&,
                                                 dagger::plugin::LayerTransfer&,
                                                 dagger::plugin::CallContext&) override {
    throw dagger::Error(dagger::Code::unsupported, "runs nothing");
  }
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Executor, Nothing, "other_kind", "1.0.0", "Zoo");
