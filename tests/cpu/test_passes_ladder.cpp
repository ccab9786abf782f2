// The passes of ladder inference for every instruction set, against the portable ones.
#include "latent_test.h"
#include "passes_test.h"

namespace cuvae::cpu {
namespace {
using namespace test;

class LadderPasses : public PassesTest {};
CUVAE_WITH_EVERY_INSTRUCTION_SET(LadderPasses);

// Variances differ by up to e^7, and exp() by a few ulp; means and gradients are of order one.
TEST_P(LadderPasses, MergedGaussians) {
  for (const Index latent : kSizes) {
    const std::vector<float> prior = random_stats(1, latent), bottom_up = random_vector(2 * latent, 8, -2, 2),
                             d = random_vector(2 * latent, 9), start = random_vector(2 * latent, 10);
    std::vector<float> merged[2] = {start, start}, dprior[2] = {start, start}, dbottom_up[2] = {start, start},
                       alone[2] = {start, start};
    for (int i = 0; i < 2; ++i) {
      const Passes& p = i == 0 ? p_ : portable_;
      p.merge_row(prior.data(), bottom_up.data(), latent, merged[i].data());
      p.merge_backward_row(prior.data(), bottom_up.data(), d.data(), latent, dprior[i].data(), dbottom_up[i].data());
      p.merge_backward_row(prior.data(), bottom_up.data(), d.data(), latent, alone[i].data(), nullptr);
      expect_same_bits(alone[i], dprior[i], "dprior alone");
    }
    expect_alike(merged[0], merged[1], kFewUlp, "merged");
    expect_alike(dprior[0], dprior[1], 2 * kFewUlp, "dprior");
    expect_alike(dbottom_up[0], dbottom_up[1], 2 * kFewUlp, "dbottom_up");
  }
}

}  // namespace
}  // namespace cuvae::cpu
