#pragma once

#include <cstdint>

#include "base/random.h"

namespace engraft::finetune {

/// How the pictures of a batch are mixed with each other; 0: not.
struct MixOptions {
  double mixup = 0;
  double cutmix = 0;

  bool is_on() const { return mixup > 0 || cutmix > 0; }
};

/// Mixes each picture of `pixels` uint8 [count, size, size, 3] with the one before it, the first with the last, in
/// place, and returns the share of its own that each keeps. Mixup: share · own + (1 - share) · other, rounded to 8
/// bits, share drawn from Beta(alpha, alpha) (Zhang et al. 2018). Cutmix: a box of the other at a place drawn
/// uniformly, sides size · sqrt(1 - share), cut at the border; the share is that of the area left (Yun et al. 2019).
/// One draw for the batch; with both on, each batch is one or the other.
double mix_pictures(uint8_t* pixels, int64_t count, int64_t size_px, const MixOptions& options, RandomStream& stream);

/// A draw from Beta(alpha, alpha), as the ratio of two draws from Gamma(alpha) (Marsaglia and Tsang 2000); 0.5, what it
/// tends to, for an alpha beyond 1e15 and one that is not above 0.
double draw_beta(double alpha, RandomStream& stream);

}  // namespace engraft::finetune
