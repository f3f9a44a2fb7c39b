#pragma once

#include <cstdint>
#include <vector>

#include "data/listing.h"
#include "data/loader.h"
#include "finetune/views.h"
#include "image/preprocessing.h"
#include "io/file_facts.h"

namespace engraft::finetune {

/// The loader's function for items (Views) of a listing: reads, decodes and prepares the picture, and draws the view.
/// With several views a picture is decoded once for items of one row that come close together. `listing` must outlive
/// it. Default views: items are rows. Where `facts` is given, with an element for each row of the listing, that of a
/// picture is set, unless it is set already, before its item is handed out; it must outlive the loader.
data::LoadFunction picture_loader(const data::Listing& listing, const image::Preprocessing& preprocessing,
                                  const Views& views = {}, std::vector<io::FileFacts>* facts = nullptr);

/// Loader options for batches of pictures of this preprocessing; `loader_threads` 0: as many as cores.
data::LoaderOptions picture_loader_options(const image::Preprocessing& preprocessing, int64_t batch_size,
                                           int64_t loader_threads);

}  // namespace engraft::finetune
