#!/usr/bin/env bash
# From nothing to a trained VAE: installs what is missing, builds, trains on the bundled digits, evaluates on held-out
# digits, and writes pictures. Safe to run again.
. "$(dirname "$0")/setup.sh"

runs=${1:-runs}
install_packages "${BUILD_PACKAGES[@]}"
# Compiles kernels only for the GPU of this machine, because all architectures take minutes.
cuda=(-DCUVAE_CUDA=OFF)
if have_gpu; then
  get_toolkit
  cuda=(-DCUVAE_CUDA=AUTO -DCMAKE_CUDA_ARCHITECTURES=native)
fi
build release -DCUVAE_BUILD_TESTS=OFF -DCUVAE_BUILD_BENCH=OFF "${cuda[@]}"
cuvae=build/release/cuvae

say "Training on 10,000 handwritten digits (784-400-20-400-784)"
"$cuvae" train --data data/mnist-10k --out "$runs/digits" --overwrite --epochs 25
say "Evaluating on 2,000 held-out digits"
"$cuvae" eval "$runs/digits" --data data/mnist-10k

say "Training a second model with two latent dimensions, so that one picture shows the whole latent space"
"$cuvae" train --data data/mnist-10k --out "$runs/digits-2d" --overwrite --epochs 25 --latent 2 --lr 2e-3
"$cuvae" manifold "$runs/digits-2d" --out "$runs/digits-2d/manifold.png"

cat <<END

Done. Look at:
  $runs/digits/samples.png           new digits: samples from the prior, decoded to means
  $runs/digits/reconstructions.png   held-out digits, with their reconstructions from 20 numbers below each row
  $runs/digits-2d/manifold.png       the two-dimensional latent space, decoded on a grid

Try next:
  $cuvae interpolate $runs/digits --data data/mnist-10k --out $runs/interpolation.png
  $cuvae traverse $runs/digits --out $runs/traversal.png
  $cuvae train --data data/mnist-10k --out $runs/wide --hidden 512 256 --activation gelu --epochs 50 --validation 0.1 --patience 5
END
