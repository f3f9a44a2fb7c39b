// Times 64 linear heads, 8 rates by 8 decays, as one stack and one by one; for scripts/bench/heads.sh. Not a test.
//   bench_heads ROWS.npy LABELS.npy OTHERS.npy OTHER_LABELS.npy EPOCHS BATCH [HEAD]
// HEAD as train's --head, a linear one by default. ROWS [N, D] float32 learn, OTHERS [M, D] validate, labels int64.
// Prints one line of JSON.
#include <ATen/ATen.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>

#include "finetune/head_stack.h"
#include "finetune/sources.h"
#include "finetune/trainees.h"
#include "io/npy.h"
#include "tensor/device.h"

namespace {

using namespace engraft;

struct Rows {
  at::Tensor values;
  std::vector<int64_t> labels;
};

Rows read(const std::string& rows, const std::string& labels) {
  const io::NpyArray values = io::read_npy(rows), classes = io::read_npy(labels);
  Rows out{at::empty(values.shape, at::kFloat), std::vector<int64_t>(classes.bytes.size() / sizeof(int64_t))};
  std::memcpy(out.values.mutable_data_ptr<float>(), values.bytes.data(), values.bytes.size());
  std::memcpy(out.labels.data(), classes.bytes.data(), classes.bytes.size());
  return out;
}

std::unique_ptr<train::BatchSource> source_of(const Rows& of) {
  return std::make_unique<finetune::RowsSource>(store::ActivationRows({{of.values.size(1)}, false}, of.values),
                                                finetune::SourceRows{of.labels}, at::tensor(of.labels, at::kLong));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7 && argc != 8) {
    std::cerr << "usage: bench_heads ROWS.npy LABELS.npy OTHERS.npy OTHER_LABELS.npy EPOCHS BATCH [HEAD]\n";
    return 2;
  }
  tensor::set_compute_threads(0);
  const Rows known = read(argv[1], argv[2]), asked = read(argv[3], argv[4]);
  std::vector<finetune::HeadTrial> trials;
  for (const double rate : {1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2}) {
    for (const double decay : {0.0, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 0.1, 0.3}) {
      finetune::HeadTrial trial;
      trial.head.embedding_dim = known.values.size(1);
      trial.head.outputs = 1 + *std::max_element(known.labels.begin(), known.labels.end());
      if (argc == 8) trial.head.spec = argv[7];
      trial.fit.epochs = std::atoi(argv[5]);
      trial.fit.batch_size = std::atoi(argv[6]);
      trial.fit.schedule.learning_rate = rate;
      trial.fit.optimizer.weight_decay = decay;
      trials.push_back(trial);
    }
  }
  const auto train = source_of(known), val = source_of(asked);
  SilentReporter silent;
  const Stopwatch stack_watch;
  const auto stacked = finetune::fit_heads(trials, *train, *val, {}, silent);
  const double stack_s = stack_watch.seconds();

  const Stopwatch watch;
  nlohmann::ordered_json heads = nlohmann::ordered_json::array();
  double largest = 0;
  for (size_t t = 0; t < trials.size(); ++t) {
    model::Head head(trials[t].head);
    finetune::HeadTrainee trainee(head);
    train::FitHooks hooks;
    hooks.on_epoch = [](const train::EpochRecord&) {};
    const train::FitResult alone = train::fit(trainee, *train, *val, trials[t].fit, silent, hooks);
    const double own = alone.epochs[alone.best].val_merit, of_stack = stacked[t].epochs[stacked[t].best].val_merit;
    largest = std::max(largest, std::abs(own - of_stack));
    heads.push_back({{"alone", own}, {"stack", of_stack}});
  }
  std::cout << nlohmann::ordered_json{{"stack_s", stack_s},
                                      {"one_by_one_s", watch.seconds()},
                                      {"heads", trials.size()},
                                      {"largest_difference_of_top1", largest},
                                      {"top1", heads}}
                   .dump()
            << "\n";
  return 0;
}
