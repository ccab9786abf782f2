#!/usr/bin/env bash
# From nothing to a trained VAE: installs what is missing, builds, trains on the bundled digits, evaluates on held-out
# ones, and writes pictures. Safe to run again.
. "$(dirname "$0")/setup.sh"

runs=${1:-runs}
install_packages "${BUILD_PACKAGES[@]}"
if have_gpu; then get_toolkit; fi
build release -DCUVAE_BUILD_TESTS=OFF -DCUVAE_BUILD_BENCH=OFF
cuvae=build/release/cuvae

say "Training on 10,000 handwritten digits (784-400-20-400-784)"
"$cuvae" train --data data/mnist-10k --out "$runs/digits" --overwrite --epochs 25
say "Evaluating on 2,000 digits that it never saw"
"$cuvae" eval "$runs/digits" --data data/mnist-10k

say "Training a second model with two latent dimensions, whose whole latent space fits in one picture"
"$cuvae" train --data data/mnist-10k --out "$runs/digits-2d" --overwrite --epochs 25 --latent 2 --lr 2e-3
"$cuvae" manifold "$runs/digits-2d" --out "$runs/digits-2d/manifold.png"

cat <<END

Done. Look at:
  $runs/digits/samples.png           new digits: the decoder's means for draws from the prior
  $runs/digits/reconstructions.png   held-out digits, and below each row what 20 numbers kept of it
  $runs/digits-2d/manifold.png       the two-dimensional latent space, decoded on a grid

Try next:
  $cuvae interpolate $runs/digits --data data/mnist-10k --out $runs/interpolation.png
  $cuvae traverse $runs/digits --out $runs/traversal.png
  $cuvae train --data data/mnist-10k --out $runs/wide --hidden 512 256 --activation gelu --epochs 50 --validation 0.1 --patience 5
END
