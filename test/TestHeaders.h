// What every unit test includes, compiled once.

#ifndef MOEC_TEST_TESTHEADERS_H
#define MOEC_TEST_TESTHEADERS_H

#include "runtime/core/CompiledHeaders.h"

#include <gtest/gtest.h>

#endif // MOEC_TEST_TESTHEADERS_H
