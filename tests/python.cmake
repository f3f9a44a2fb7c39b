# engraft_python_test(NAME FILE_test.py)
#   One unittest file, run by the Python that has torch, torchvision, timm and Pillow; label `module`. Skipped, with the
#   reason, where there is no such Python; but where ENGRAFT_SHARED is set nothing may be skipped, so it fails there.
set(ENGRAFT_TEST_PYTHON "${CMAKE_SOURCE_DIR}/.venv-test/bin/python" CACHE FILEPATH
  "Python with scripts/requirements-test.txt, as scripts/test.sh makes it")
set(ENGRAFT_TESTS_FOLDER "${CMAKE_CURRENT_SOURCE_DIR}")
function(engraft_python_test name file)
  add_test(NAME python.${name}
    COMMAND bash "${ENGRAFT_TESTS_FOLDER}/run_python_test" "${ENGRAFT_TEST_PYTHON}" "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  set_tests_properties(python.${name} PROPERTIES LABELS module TIMEOUT 1200
    ENVIRONMENT "OMP_WAIT_POLICY=passive"
    SKIP_REGULAR_EXPRESSION "SKIPPED: [^\n]*")
endfunction()
