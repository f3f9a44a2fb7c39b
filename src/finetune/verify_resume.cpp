#include "finetune/verify_resume.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/stop.h"
#include "base/text.h"
#include "finetune/stage_fit.h"

namespace engraft::finetune {

namespace {

/// Takes the state after a number of updates and ends the training there.
class StopAfter : public train::Checkpointer {
 public:
  struct Reached {};
  StopAfter(const StageCheckpointer& form, int64_t updates) : form_(form), left_(updates) {}
  bool is_due() override { return --left_ == 0; }
  void save(const train::Progress& progress, train::Trainee& trainee, const train::Optimizer& optimizer) override {
    checkpoint = form_.checkpoint_of(progress, trainee, optimizer);
    checkpoint.weights = tensor::snapshot(checkpoint.weights);
    checkpoint.optimizer = tensor::snapshot(checkpoint.optimizer);
    throw Reached();
  }

  /// How many of `updates` there were in a training that ended before them; it asked once more at its end.
  int64_t done(int64_t updates) const { return updates - left_ - 1; }

  store::Checkpoint checkpoint;

 private:
  const StageCheckpointer& form_;
  int64_t left_;
};

/// The names of tensors and figures that are not the same to the bit.
std::vector<std::string> differences(const store::Checkpoint& a, const store::Checkpoint& b) {
  std::vector<std::string> out;
  for (const auto tensors : {&store::Checkpoint::weights, &store::Checkpoint::optimizer}) {
    const auto &in_a = a.*tensors, &in_b = b.*tensors;
    if (in_a.size() != in_b.size()) return {text::cat(in_a.size(), " tensors against ", in_b.size())};
    for (size_t i = 0; i < in_a.size(); ++i) {
      if (in_a[i].name != in_b[i].name || !at::equal(in_a[i].value, in_b[i].value)) out.push_back(in_a[i].name);
    }
  }
  io::Json progress_a = a.state.at("progress"), progress_b = b.state.at("progress");
  for (io::Json* progress : {&progress_a, &progress_b}) {
    for (io::Json& epoch : progress->at("epochs")) epoch.erase("seconds");
  }
  if (progress_a != progress_b) out.emplace_back("progress");
  return out;
}

}  // namespace

void verify_resume(const Setup& setup, const StagePlan& stage, StageParts& parts, const Verification& verification,
                   Reporter& reporter) {
  const std::vector<tensor::NamedTensor> initial = tensor::snapshot(parts.trainee->state());
  SilentReporter silent;
  const auto train_on = [&](const train::FitStart* start, int64_t updates) {
    StopAfter stop(verification.checkpointer, updates);
    train::FitHooks hooks;
    hooks.on_epoch = [](const train::EpochRecord&) {};
    hooks.checkpointer = &stop;
    hooks.start = start;
    try {
      train::fit(*parts.trainee, *parts.train, *parts.val, fit_options(setup, stage), silent, hooks);
      throw UsageError(text::cat("--verify-resume ", verification.steps, ": stage ", stage.number, " has ",
                                 text::count_of(stop.done(updates), "update"), " left; give at most so many"));
    } catch (const StopAfter::Reached&) {
    }
    throw_if_stopped("verifying");  // a signal ends a replay early
    return stop.checkpoint;
  };
  const auto begin_again = [&] { tensor::restore(initial, parts.trainee->state()); };

  reporter.note(text::cat("verify-resume: replaying ", text::count_of(verification.steps, "update"), " twice"));
  const store::Checkpoint whole = train_on(verification.start, verification.steps);
  begin_again();
  const int64_t first = std::max<int64_t>(1, verification.steps / 2);
  std::filesystem::remove_all(verification.folder);  // of a verification that was killed
  store::write_checkpoint(verification.folder, train_on(verification.start, first));
  const std::optional<store::Checkpoint> read = store::newest_checkpoint(verification.folder, reporter);
  std::filesystem::remove_all(verification.folder);
  if (!read) throw SystemError("verify-resume: the checkpoint that was written cannot be read");
  begin_again();
  const train::FitStart middle = start_of(*read);
  const store::Checkpoint resumed = verification.steps > first ? train_on(&middle, verification.steps - first) : *read;
  begin_again();
  parts.trainee->set_training(false);

  const std::vector<std::string> different = differences(whole, resumed);
  if (!different.empty()) {
    throw Error(ExitCode::kInternal, text::cat("verify-resume: a resumed training differs after ", verification.steps,
                                               " updates in ", text::abridge(different, 8, ", ")));
  }
  reporter.note(text::cat(
      "verify-resume: ", text::count_of(static_cast<int64_t>(whole.weights.size() + whole.optimizer.size()), "tensor"),
      " bit-identical, in one go and by a checkpoint after ", text::count_of(first, "update")));
}

}  // namespace engraft::finetune
