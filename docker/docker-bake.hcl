# The three images for both architectures, of the binaries in dist/. docker/build calls it, by hand and in the release:
#
#   docker/build --binaries && REGISTRY=registry.example/team docker/build --push
#
# Nothing is emulated: the binaries are cross-compiled, the images only copy them.

variable "REGISTRY" { default = "ghcr.io/init-sidecars" }
variable "VERSION" { default = "0.1.0" }
variable "REVISION" { default = "unknown" }
variable "CREATED" { default = "1970-01-01T00:00:00Z" }
variable "SOURCE" { default = "https://github.com/init-sidecars/init-sidecars" }

group "default" {
  targets = ["os-init", "k-init", "grafana-init"]
}

# X.Y.Z, X.Y and X; never `latest`.
function "tags" {
  params = [program]
  result = [
    "${REGISTRY}/${program}:${VERSION}",
    "${REGISTRY}/${program}:${join(".", slice(split(".", VERSION), 0, 2))}",
    "${REGISTRY}/${program}:${element(split(".", VERSION), 0)}",
  ]
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
  attest = ["type=provenance,mode=max", "type=sbom"]
}

target "os-init" {
  inherits = ["common"]
  target   = "os-init-prebuilt"
  tags     = tags("os-init")
}

target "k-init" {
  inherits = ["common"]
  target   = "k-init-prebuilt"
  tags     = tags("k-init")
}

target "grafana-init" {
  inherits = ["common"]
  target   = "grafana-init-prebuilt"
  tags     = tags("grafana-init")
}
