// cuvae-bench: what training costs.
#include <cstdio>
#include <map>

#include "bench.h"
#include "math/philox.h"
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

}  // namespace cuvae::bench

int main(int argc, char** argv) {
  CLI::App app("cuvae-bench: what training costs", "cuvae-bench");
  app.require_subcommand(1);
  cuvae::bench::add_step(app);
  cuvae::bench::add_memory(app);
  cuvae::bench::add_kernels(app);
  CLI::App* estimators =
      app.add_subcommand("estimators", "Variance and cost of each gradient estimator on the same model");
  const auto run_estimators = cuvae::bench::add_estimator_flags(*estimators);
  try {
    app.parse(argc, argv);
    if (estimators->parsed()) return run_estimators();
  } catch (const CLI::Success& help) {
    return app.exit(help);
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "cuvae-bench: %s\n", e.what());
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cuvae-bench: %s\n", e.what());
    return 1;
  }
  return 0;
}
