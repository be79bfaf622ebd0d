module kirzl.invalid/onenode/small

go 1.26.0
