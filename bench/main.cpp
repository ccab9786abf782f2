// cuvae-bench: benchmarks of training.
#include "bench.h"
#include "math/philox.h"
#include "process/run_main.h"
#include "study/command.h"

namespace cuvae::bench {

Dataset digits_like(Index rows) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(rows * 784));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::uint32_t word = math::philox_word(1, static_cast<std::uint32_t>(Stream::data_sample), 0, i);
    pixels[i] = word % 5 == 0 ? static_cast<std::uint8_t>(word >> 24) : 0;  // four pixels in five are blank
  }
  return Dataset::from_memory(std::move(pixels), rows, 784);
}

VaeConfig standard_model() {
  VaeConfig model;
  model.image_height = model.image_width = 28;
  return model;
}

namespace {

int parse_and_run(int argc, char** argv) {
  CLI::App app("Benchmarks of training: time, memory and gradient estimators.", "cuvae-bench");
  app.require_subcommand(1);
  add_step(app);
  add_memory(app);
  add_kernels(app);
  CLI::App* estimators =
      app.add_subcommand("estimators", "Measure the variance and the cost of each gradient estimator on one model");
  const auto run_estimators = add_estimator_flags(*estimators);
  try {
    app.parse(argc, argv);
    return estimators->parsed() ? run_estimators() : 0;
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& error) {
    return cli::fail(cli::kWrongUsage, error.what());
  }
}

}  // namespace
}  // namespace cuvae::bench

int main(int argc, char** argv) {
  return cuvae::cli::run_main("cuvae-bench", [&] { return cuvae::bench::parse_and_run(argc, argv); });
}
