// Every method with buffers refuses more rows than they were made for, and then writes nothing.
#include "cuvae/estimator.h"
#include "cuvae/probes.h"
#include "error_text.h"
#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

class Buffers : public OpTest {
 protected:
  Matrix rows(Index count, Index cols) {
    return {backend_, count, cols, std::vector<float>(count * cols, 0.5f), type_};
  }
  Noise noise() { return {1, Stream::latent, step_.data(), 0}; }

  Array<std::uint32_t> step_{backend_, std::vector<std::uint32_t>(1)};
};
CUVAE_IN_EVERY_PRECISION(Buffers);

TEST_P(Buffers, AViewLiesInsideItsBuffer) {
  const Buffer b = backend_.allocate(24);
  EXPECT_EQ(b.view(2, 3).data, b.data());
  EXPECT_NO_THROW(b.view(6, 1));
  EXPECT_NO_THROW(b.view(3, 4, DType::bf16));
  EXPECT_NO_THROW(b.view(24, 1, DType::u8));
  EXPECT_NO_THROW(b.view(0, 1000));
  EXPECT_NO_THROW(b.view(1000, 0));
  expect_error([&] { b.view(7, 1); }, "view: a buffer of 24 bytes does not hold [7, 1]");
  expect_error([&] { b.view(1, 7); }, "does not hold [1, 7]");
  expect_error([&] { b.view(3, 5, DType::bf16); }, "does not hold [3, 5] bf16");
  expect_error([&] { b.view(25, 1, DType::u8); }, "does not hold [25, 1] u8");
  expect_error([&] { b.view(-1, 1); }, "does not hold [-1, 1]");
  expect_error([&] { b.view(1, -1); }, "does not hold [1, -1]");
  constexpr Index huge = Index{1} << 62;
  expect_error([&] { b.view(huge, huge); }, "does not hold [");
  expect_error([&] { b.view(4, huge); }, "does not hold [");  // 2^64 elements, which overflow to 0
  expect_error([&] { Buffer().view(1, 1); }, "a buffer of 0 bytes does not hold [1, 1]");
}

TEST_P(Buffers, TheStagesOfAModelRefuseMoreRows) {
  const Vae vae(backend_, small_model(), 1);
  const VaeActivations a = vae.allocate(3, 2);
  const std::string made = "but the activations were made for ";
  expect_error([&] { vae.encode(rows(4, 12), a); }, "encode: x is [4, 12]");
  expect_error([&] { vae.encode(rows(4, 12), a); }, made + "3 rows");
  const Matrix stats(backend_, 4, 4, std::vector<float>(16)), output = rows(7, 12), x = rows(7, 12);
  expect_error([&] { vae.sample_latents(stats, noise(), a); }, "sample_latents: stats is [4, 4] " + made + "3 rows");
  expect_error([&] { vae.decode(rows(7, 2), a); }, "decode: z is [7, 2]");
  expect_error([&] { vae.decode(rows(7, 2), a); }, made + "6 rows");
  expect_error([&] { vae.log_prob(output, x, a); }, made + "6 rows");

  // The same number of rows, and fewer, are accepted.
  for (const Index count : {1, 3}) {
    const View of_encoder = vae.encode(rows(count, 12), a);
    const View z = vae.sample_latents(of_encoder, noise(), a);
    EXPECT_EQ(vae.log_prob(vae.decode(z, a), rows(count, 12), a).rows, 2 * count);
  }
}

TEST_P(Buffers, ActivationsOfAnotherModelAreRefused) {
  const Vae vae(backend_, small_model(), 1);
  VaeConfig config = small_model();
  config.encoder_hidden = {8, 8};
  const VaeActivations deeper = Vae(backend_, config, 1).allocate(3, 1);
  expect_error([&] { vae.encode(rows(3, 12), deeper); },
               "forward: the network has 2 layers but the activations were made for 3");
  config.encoder_hidden = {4};
  const VaeActivations narrower = Vae(backend_, config, 1).allocate(3, 1);
  expect_error([&] { vae.encode(rows(3, 12), narrower); }, "does not hold [3, 8]");
  VaeActivations none;
  none.batch = 3;
  expect_error([&] { vae.encode(rows(3, 12), none); }, "latent layers but the activations were made for 0");
}

TEST_P(Buffers, ANetworkRefusesMoreRowsForwardAndBackward) {
  const Vae vae(backend_, small_model(), 1);
  const Mlp& network = vae.encoder();
  const MlpActivations a = network.allocate(backend_, 3, DType::f32);
  const std::string text = "but the activations were made for 3 rows";
  expect_error([&] { network.forward(backend_, vae.weights(), rows(4, 12), a); }, "forward: x is [4, 12]");
  expect_error([&] { network.forward(backend_, vae.weights(), rows(4, 12), a); }, text);
  const Buffer grads = backend_.allocate(static_cast<std::size_t>(vae.layout().size()) * sizeof(float));
  const auto backward = [&](Index count, std::size_t scratch_bytes) {
    const Buffer scratch[2] = {backend_.allocate(scratch_bytes), backend_.allocate(scratch_bytes)};
    network.backward(backend_, vae.weights(), grads.as<float>(), rows(count, 12), a, rows(count, 4), scratch, {});
    backend_.synchronize();
  };
  network.forward(backend_, vae.weights(), rows(3, 12), a);
  EXPECT_NO_THROW(backward(3, 3 * 8 * sizeof(float)));
  expect_error([&] { backward(4, 4 * 8 * sizeof(float)); }, "backward: x is [4, 12]");
  expect_error([&] { backward(3, 8); }, "a buffer of 8 bytes does not hold [3, 8]");
}

// The gradient of a batch is the sum of those of its parts.
TEST_P(Buffers, GradientsOfPartsOfABatchAddUp) {
  const Vae vae(backend_, small_model(), 1);
  const Mlp& network = vae.encoder();
  const MlpActivations a = network.allocate(backend_, 6, DType::f32);
  const Buffer scratch[2] = {backend_.allocate(6 * 8 * sizeof(float)), backend_.allocate(6 * 8 * sizeof(float))};
  const std::vector<float> x = random_vector(6 * 12, 1), dy = random_vector(6 * 4, 2);
  const auto size = static_cast<std::size_t>(vae.layout().size());
  const Array<float> whole(backend_, std::vector<float>(size)), parts(backend_, std::vector<float>(size));
  const auto backward = [&](Index first, Index count, const Array<float>& grads, Gradients gradients) {
    const Matrix in(backend_, count, 12, {x.begin() + first * 12, x.begin() + (first + count) * 12}, type_),
        dout(backend_, count, 4, {dy.begin() + first * 4, dy.begin() + (first + count) * 4}, type_);
    network.forward(backend_, vae.weights(), in, a);
    network.backward(backend_, vae.weights(), grads.data(), in, a, dout, scratch, {}, gradients);
    backend_.synchronize();
  };
  backward(0, 6, whole, Gradients::replace);
  backward(0, 2, parts, Gradients::replace);
  backward(2, 4, parts, Gradients::add);
  // Sums of at most six products of order one, in another order; as bf16, hidden layers are rounded alike.
  expect_close(parts.get(), reference::widen(whole.get()), 4e-6, 0, "gradient");
}

TEST_P(Buffers, ProbesRefuseMoreRows) {
  const Vae vae(backend_, small_model(), 1);
  const Probes probes(vae, Estimator::delta, 3, 1);
  const Matrix stats(backend_, 4, 4, std::vector<float>(16));
  const ConstView all = stats;
  const ConstView three{all.data, 3, 4};
  expect_error([&] { probes.log_prob(vae, stats, rows(4, 12), noise()); },
               "log_prob: stats is [4, 4] but the probes were made for 3 rows");
  expect_error([&] { probes.log_prob(vae, three, rows(2, 12), noise()); },
               "log_prob: stats is [3, 4] but x is [2, 12]");
  expect_error([&] { Probes().log_prob(vae, three, rows(3, 12), noise()); }, "log_prob: pathwise has no probes");
  EXPECT_EQ(probes.log_prob(vae, three, rows(3, 12), noise()).rows, 3 * 5);
}

}  // namespace
}  // namespace cuvae
