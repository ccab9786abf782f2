// cuvae-bench step: the time of a training step, on the CPU or on a CUDA device.
#include "step.h"

#include <iostream>
#include <map>
#include <numeric>

namespace cuvae::bench {

TrainConfig step_training(Index batch) {
  TrainConfig c;
  c.batch = batch;
  c.binarize = Binarize::none;  // gather_batch binarizes before the step, as in fit()
  return c;
}

std::vector<std::uint32_t> shuffled(Index rows) {
  std::vector<std::uint32_t> order(static_cast<std::size_t>(rows));
  std::iota(order.begin(), order.end(), 0u);
  for (std::size_t i = 0; i < order.size(); ++i) std::swap(order[i], order[i * 2654435761u % order.size()]);
  return order;
}

namespace {

struct Options {
  std::string device = "cpu";
  Precision precision = Precision::fp32;
  std::vector<Index> batches{128, 512, 2048, 8192};
  double seconds = 3;
  int threads = 2;
  bool serve = false, json = false;
};

void print_heading(const std::string& description, bool cuda) {
  std::printf("%s; 784-400-20-400-784, Adam, dynamic binarization\n", description.c_str());
  if (cuda)
    std::printf("%8s %12s %12s %16s %12s %12s %14s\n", "batch", "replayed ms", "eager ms", "products ms", "step/prod.",
                "launches", "examples/s");
  else
    std::printf("%8s %12s %16s %12s %12s\n", "batch", "step ms", "products ms", "step/prod.", "GFLOP/s");
}

void print_row(const nlohmann::json& r, bool cuda) {
  const int batch = r["batch"].get<int>();
  const double step = r["median_ms"].get<double>(), products = r["gemm_ms"].get<double>(),
               ratio = r["step_over_gemm"].get<double>();
  if (cuda)
    std::printf("%8d %12.4f %12.4f %16.4f %12.3f %12d %14.0f\n", batch, step, r["eager_ms"].get<double>(), products,
                ratio, r["launches"].get<int>(), r["examples_per_second"].get<double>());
  else
    std::printf("%8d %12.3f %16.3f %12.3f %12.1f\n", batch, step, products, ratio, r["gemm_gflops"].get<double>());
  std::fflush(stdout);
}

void run(const Options& o) {
  const bool cuda = o.device != "cpu";
  const auto backend = make_backend(o.device, o.threads, o.precision);
  const Dataset data = digits_like(60000);
  const auto make = [&](Index batch) {
    return cuda ? cuda_step(o.device, o.precision, data, batch) : cpu_step(*backend, data, o.threads, batch);
  };
  if (o.serve) {  // one request per line, "batch seconds", so that a driver can let several programs take turns
    std::map<Index, std::unique_ptr<StepBench>> benches;
    for (Index batch; std::cin >> batch;) {
      double seconds = 0;
      if (!(std::cin >> seconds) || batch < 1 || batch > 60000)
        throw Error("serve: a request is 'batch seconds', batch 1 to 60000");
      std::unique_ptr<StepBench>& bench = benches[batch];
      if (bench == nullptr) bench = make(batch);
      std::cout << bench->measure(seconds).dump() << std::endl;
    }
    return;
  }
  if (!o.json) print_heading(backend->description(), cuda);
  for (Index batch : o.batches) {
    const nlohmann::json r = make(batch)->measure(o.seconds);
    if (o.json)
      std::cout << r.dump() << std::endl;
    else
      print_row(r, cuda);
  }
}

}  // namespace

void add_step(CLI::App& app) {
  auto* c = app.add_subcommand("step", "Time the training step and its own matrix products, in turns");
  auto o = std::make_shared<Options>();
  c->add_option("--device", o->device, "cpu, cuda or cuda:N")->capture_default_str();
  add_precision(*c, o->precision);
  cli::add_numbers(*c, "--batch", o->batches, "Batch sizes", {1, 60000});
  cli::add_number(*c, "--seconds", o->seconds, "Time for each batch size", kSeconds);
  cli::add_number(*c, "--threads", o->threads, "CPU threads", {1, 1024});
  c->add_flag("--json", o->json, "Print one JSON object per line");
  c->add_flag("--serve", o->serve, "Answer requests 'batch seconds' on standard input");
  c->callback([o] { run(*o); });
}

}  // namespace cuvae::bench
