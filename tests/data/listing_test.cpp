#include "data/listing.h"

#include <catch2/catch.hpp>
