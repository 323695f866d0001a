module thalweg.test/driver

go 1.21
