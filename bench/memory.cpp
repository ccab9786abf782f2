// cuvae-bench memory: compares the peak memory of a training process with its budget, data + 4 arenas + activations of
// one batch + 64 MiB.
#include <cstdio>
#include <fstream>

#include "bench.h"

namespace cuvae::bench {
namespace {

double peak_mib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == "VmHWM:") {
      double kib = 0;
      status >> kib;
      return kib / 1024;
    }
  throw Error("memory: /proc/self/status has no VmHWM");
}

void run(const std::string& path, Index batch, Index epochs) {
  const auto backend = make_backend("cpu");
  const Dataset data = Dataset::open(path, Split::train);
  VaeConfig model = standard_model();
  TrainConfig config;
  config.batch = batch;
  config.epochs = epochs;
  Trainer trainer(*backend, model, config, data);
  trainer.fit(data);

  // x, both hidden layers, stats, z and logits: each activation once, and each gradient once.
  const double floats = static_cast<double>(batch) * (784 + 2 * 400 + 2 * (2 * 20) + 2 * 20 + 2 * 400 + 784 + 2);
  const double mib = 1 << 20, data_mib = static_cast<double>(data.rows() * data.cols()) *
                                         static_cast<double>(size_of(data.dtype())) / mib;
  const double arenas = 4 * 4 * static_cast<double>(trainer.vae().layout().size()) / mib,
               activations = 4 * floats / mib;
  const double budget = data_mib + arenas + activations + 64, peak = peak_mib();
  std::printf("data %.1f + 4 arenas %.1f + activations of batch %d %.1f + 64 = %.1f MiB; peak %.1f MiB: %s\n", data_mib,
              arenas, static_cast<int>(batch), activations, budget, peak, peak <= budget ? "within" : "OVER");
}

}  // namespace

void add_memory(CLI::App& app) {
  struct Options {
    std::string data = "data/mnist-10k";
    Index batch = 128, epochs = 1;
  };
  auto* c = app.add_subcommand("memory", "Compare the peak memory of a training with its budget");
  auto o = std::make_shared<Options>();
  c->add_option("--data", o->data, "Folder or file with the training data")->capture_default_str();
  cli::add_number(*c, "--batch", o->batch, "Batch size", cli::kCount);
  cli::add_number(*c, "--epochs", o->epochs, "Passes over the data", cli::kCount);
  c->callback([o] { run(o->data, o->batch, o->epochs); });
}

}  // namespace cuvae::bench
