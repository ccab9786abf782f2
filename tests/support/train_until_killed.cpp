// Trains in the given folder, with a checkpoint in each epoch, and resumes if there is one. Tests kill it at any time.
#include <iostream>

#include "small_training.h"

int main(int, char** arguments) try {
  using namespace cuvae;
  const std::filesystem::path folder = arguments[1], last = folder / "last.safetensors";
  TrainConfig config = test::thorough_training();
  config.epochs = 30;
  const auto backend = make_backend("auto", 1);
  const Dataset data = test::small_data();
  Trainer trainer = std::filesystem::exists(last) ? Trainer::resume(*backend, last)
                                                  : Trainer(*backend, test::small_model(), config, data);
  trainer.fit(data, {folder, {}, nullptr});
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
