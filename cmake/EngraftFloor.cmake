# engraft_floor(NAME SOURCES … [DEPENDS floor…] [LIBS external…])
#   The static library of one folder of src/. DEPENDS are the floors below that it may include (public);
#   LIBS are third-party libraries that only its .cpp files see (private).
function(engraft_floor name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBS" ${ARGN})
  add_library(engraft_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(engraft_${name} PUBLIC engraft_compiler PRIVATE ${ARG_LIBS})
  foreach(floor IN LISTS ARG_DEPENDS)
    target_link_libraries(engraft_${name} PUBLIC engraft_${floor})
  endforeach()
endfunction()

# engraft_torch_headers(TARGET): the target's sources see LibTorch; with ENGRAFT_PCH its heavy headers are parsed once
# for all such targets instead of once a source. Sources include what they use all the same: preset dev builds without.
function(engraft_torch_headers target)
  if(NOT ENGRAFT_PCH)
    return()
  endif()
  if(NOT TARGET engraft_torch_pch)
    file(WRITE "${CMAKE_BINARY_DIR}/torch_pch.cpp" "")
    add_library(engraft_torch_pch OBJECT "${CMAKE_BINARY_DIR}/torch_pch.cpp")
    target_link_libraries(engraft_torch_pch PRIVATE engraft_compiler LibTorch::cpu engraft_dep_json)
    target_precompile_headers(engraft_torch_pch PRIVATE <ATen/ATen.h> <torch/csrc/jit/api/module.h> <nlohmann/json.hpp>)
  endif()
  target_precompile_headers(${target} REUSE_FROM engraft_torch_pch)
endfunction()

# engraft_test(FLOOR [TORCH] SOURCES … [LABELS label…] [LIBS …])
#   One Catch2 program test_FLOOR over the test files of one floor; every TEST_CASE tag set is left to the program,
#   ctest sees one test per program and label.
function(engraft_test name)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LABELS;DEPENDS;LIBS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE engraft_compiler engraft_test_main engraft_dep_catch ${ARG_LIBS})
  foreach(floor IN LISTS ARG_DEPENDS)
    target_link_libraries(test_${name} PRIVATE engraft_${floor})
  endforeach()
  if(ARG_TORCH)
    engraft_torch_headers(test_${name})
  endif()
  set_target_properties(test_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/tests")
  foreach(label IN LISTS ARG_LABELS)
    add_test(NAME ${name}.${label} COMMAND test_${name} "[${label}]")
    set_tests_properties(${name}.${label} PROPERTIES LABELS ${label} TIMEOUT 1200
      ENVIRONMENT "OMP_WAIT_POLICY=passive;GOMP_SPINCOUNT=10000"
      SKIP_REGULAR_EXPRESSION "SKIPPED: [^\n]*")
  endforeach()
endfunction()
