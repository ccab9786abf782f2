// Replaying a recording is the same as calling the ops: the same bits after several steps of training.
#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

class Replay : public OpTest {};
CUVAE_ON_EVERY_BACKEND(Replay);

TEST_P(Replay, TrainsLikeCallingEachStep) {
  const Index steps = 12;
  VaeConfig wide = small_model();  // with a batch of 128, its products are too large for the kernel of small layers
  wide.encoder_hidden = wide.decoder_hidden = {192, 192};
  TrainConfig large = small_training(), thorough = thorough_training();
  large.batch = 128;
  thorough.validation = 0;
  thorough.patience = 0;
  for (const auto& [model, config] :
       {std::pair{small_model(), small_training()}, std::pair{small_model(), thorough}, std::pair{wide, large}}) {
    const Array<std::uint8_t> pixels(backend_, small_pixels(config.batch));
    const ConstView x{pixels.data(), config.batch, 12, DType::u8};

    Trainer called(backend_, model, config, config.batch), replayed(backend_, model, config, config.batch);
    for (Index i = 0; i < steps; ++i) called.step(x);
    Recording recording;
    for (Index i = 0; i < steps; ++i) backend_.replay(recording, [&] { replayed.step(x); });

    expect_same_bits(parameters(replayed.vae()), parameters(called.vae()), "parameters");
    EXPECT_EQ(replayed.state().step, steps);
    EXPECT_EQ(replayed.state().updates, called.state().updates);
    EXPECT_EQ(replayed.metrics().loss, called.metrics().loss);
    EXPECT_EQ(replayed.metrics().gradient_norm, called.metrics().gradient_norm);
  }
}

// Recording and replaying can follow steps of either kind, with the same bits.
TEST_P(Replay, MayBeMixedWithCalls) {
  const Array<std::uint8_t> pixels(backend_, small_pixels(5));
  const ConstView x{pixels.data(), 5, 12, DType::u8};
  Trainer called(backend_, small_model(), small_training(), kSmallRows);
  Trainer mixed(backend_, small_model(), small_training(), kSmallRows);
  Recording recording;
  for (int i = 0; i < 9; ++i) {
    called.step(x);
    if (i % 3 == 2)
      mixed.step(x);
    else
      backend_.replay(recording, [&] { mixed.step(x); });
  }
  expect_same_bits(parameters(mixed.vae()), parameters(called.vae()), "parameters");
}

}  // namespace
}  // namespace cuvae
