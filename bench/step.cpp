// cuvae-bench step: the time of a training step, on the CPU or on a CUDA device.
#include "step.h"

#include <iostream>
#include <map>
#include <numeric>

namespace cuvae::bench {

StepCase::StepCase(StepModel kind, Index batch) : model(standard_model()) {
  training.batch = batch;
  training.binarize = Binarize::none;  // gather_batch binarizes before the step, as in fit()
  if (kind == StepModel::standard) return;
  model.latent = 100;
  model.encoder_hidden = model.decoder_hidden = {200, 200};
  model.above = {{.latent = 50, .encoder_hidden = {100, 100}, .decoder_hidden = {100, 100}}};
  model.activation = Activation::tanh;
  training.estimator = Estimator::iwae;
  training.samples = 5;
}

std::vector<NetworkShape> networks_of(const StepCase& c) {
  const Index batch = c.training.batch, rows = batch * c.training.samples;
  const VaeConfig& m = c.model;
  std::vector<NetworkShape> networks;
  const auto add = [&](Index of_rows, Index in, std::vector<Index> widths, Index out) {
    widths.insert(widths.begin(), in);
    widths.push_back(out);
    networks.push_back({of_rows, std::move(widths), networks.empty()});
  };
  add(batch, m.data_dim, m.encoder_hidden, m.statistics(m.latent));
  Index below = m.latent;
  for (const LayerConfig& layer : m.above) {
    add(rows, below, layer.encoder_hidden, m.statistics(layer.latent));
    add(rows, layer.latent, layer.decoder_hidden, m.statistics(below));
    below = layer.latent;
  }
  add(rows, m.latent, m.decoder_hidden, m.outputs());
  return networks;
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
  StepModel model = StepModel::standard;
};

const char* name_of(StepModel model) {
  switch (model) {
    case StepModel::standard:
      return "784-400-20-400-784";
    case StepModel::two_layers:
      return "784-200-200-100-100-100-50 and back, tanh, IWAE bound over 5 samples";
  }
  return "";
}

void print_heading(const std::string& description, StepModel model, bool cuda) {
  std::printf("%s; %s, Adam, dynamic binarization\n", description.c_str(), name_of(model));
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
    const StepCase c(o.model, batch);
    return cuda ? cuda_step(o.device, o.precision, data, c) : cpu_step(*backend, data, o.threads, c);
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
  if (!o.json) print_heading(backend->description(), o.model, cuda);
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
  const std::map<std::string, StepModel> models{{"standard", StepModel::standard},
                                                {"two-layers", StepModel::two_layers}};
  c->add_option("--model", o->model, "standard, or two-layers: that of Burda et al. 2015, with 5 samples")
      ->transform(CLI::CheckedTransformer(models).description(""))
      ->type_name("NAME")
      ->default_str("standard");
  cli::add_numbers(*c, "--batch", o->batches, "Batch sizes", {1, 60000});
  cli::add_number(*c, "--seconds", o->seconds, "Time for each batch size", kSeconds);
  cli::add_number(*c, "--threads", o->threads, "CPU threads", {1, 1024});
  c->add_flag("--json", o->json, "Print one JSON object per line");
  c->add_flag("--serve", o->serve, "Answer requests 'batch seconds' on standard input");
  c->callback([o] { run(*o); });
}

}  // namespace cuvae::bench
