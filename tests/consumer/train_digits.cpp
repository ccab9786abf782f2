#include <cuvae/cuvae.h>

#include <cstdio>

int main(int, char** argv) {
  const auto backend = cuvae::make_backend("auto");
  const auto digits = cuvae::Dataset::open(argv[1], cuvae::Split::train);
  const auto held_out = cuvae::Dataset::open(argv[1], cuvae::Split::test);

  cuvae::VaeConfig model;  // 784-400-20-400-784, ReLU, Bernoulli
  model.image_height = digits.image_height();
  model.image_width = digits.image_width();
  cuvae::TrainConfig training;  // Adam at 1e-3, batch 128, dynamic binarization
  training.epochs = 3;

  cuvae::Trainer trainer(*backend, model, training, digits);
  trainer.fit(digits, {.on_progress = [](const cuvae::Progress& p) {
                if (p.epoch_end) std::printf("epoch %d: ELBO %.2f nats\n", int(p.epoch), -p.train.loss);
              }});
  trainer.save("digits.safetensors");
  std::printf("held-out ELBO %.2f nats\n", cuvae::evaluate(trainer.vae(), held_out).elbo);
}
