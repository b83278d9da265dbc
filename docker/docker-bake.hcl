# The three images for both architectures, from the repository's root, once `docker/build --binaries amd64 arm64` has filled dist/:
#
#   docker buildx bake -f docker/docker-bake.hcl                            builds
#   REGISTRY=registry.example/team/ docker buildx bake -f docker/docker-bake.hcl --push
#
# Nothing is emulated: the binaries are cross-compiled, the images only copy them.

variable "VERSION" { default = "0.1.0" }
variable "REVISION" { default = "unknown" }
variable "CREATED" { default = "1970-01-01T00:00:00Z" }
variable "SOURCE" { default = "" }
variable "REGISTRY" { default = "" }

group "default" {
  targets = ["os-init", "k-init", "grafana-init"]
}

target "common" {
  context    = "."
  dockerfile = "docker/Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  args = {
    VERSION  = VERSION
    REVISION = REVISION
    CREATED  = CREATED
    SOURCE   = SOURCE
  }
}

target "os-init" {
  inherits = ["common"]
  target   = "os-init"
  tags     = ["${REGISTRY}os-init:${VERSION}"]
}

target "k-init" {
  inherits = ["common"]
  target   = "k-init"
  tags     = ["${REGISTRY}k-init:${VERSION}"]
}

target "grafana-init" {
  inherits = ["common"]
  target   = "grafana-init"
  tags     = ["${REGISTRY}grafana-init:${VERSION}"]
}
