# shellcheck shell=bash
# Bare systems of Debian in folders of their own, made by debootstrap; scripts source it after common.sh.

# require_systems COMMAND…: ends the script, COMMAND, where none can be made.
require_systems() {
  ((EUID == 0)) || fail "only root can make a system of its own; run: sudo $*"
  command -v debootstrap >/dev/null || fail "no debootstrap here; run: apt-get install debootstrap"
  [[ -z ${MNIST_DIR-} || -d $MNIST_DIR ]] || fail "MNIST_DIR=$MNIST_DIR is no folder; unset it to have MNIST fetched"
}

# make_system RELEASE ROOT USER: the smallest Debian of that name in the folder ROOT, with this repository as it is in
# /srv/handgrad, which belongs to USER: root, or somebody who may use sudo. MNIST_DIR is copied.
# DEBIAN_MIRROR names the mirror [http://deb.debian.org/debian].
make_system() {
  local release=$1 root=$2 user=$3
  quietly debootstrap --variant=minbase "$release" "$root" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" || return 1
  cp -L /etc/resolv.conf "$root/etc/resolv.conf" || return 1
  # What this machine trusts beyond the usual authorities; npm asks for it by a variable of its own.
  if compgen -G '/usr/local/share/ca-certificates/*.crt' >/dev/null; then
    mkdir -p "$root/usr/local/share/ca-certificates"
    cp -L /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates" || return 1
  fi
  if [[ -n ${NODE_EXTRA_CA_CERTS-} ]]; then cp -L "$NODE_EXTRA_CA_CERTS" "$root/srv/certificates.pem" || return 1; fi
  if [[ -n ${MNIST_DIR-} ]]; then cp -RL "$MNIST_DIR" "$root/srv/mnist" || return 1; fi
  # With its history, because the linters ask git for the files.
  mkdir "$root/srv/handgrad"
  git ls-files -z --cached --others --exclude-standard |
    tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -xf - -C "$root/srv/handgrad" || return 1
  cp -R "$(git rev-parse --absolute-git-dir)" "$root/srv/handgrad/.git" || return 1
  if [[ $user != root ]]; then
    quietly chroot "$root" env DEBIAN_FRONTEND=noninteractive bash -euc "
      apt-get update; apt-get install -y --no-install-recommends sudo
      useradd --create-home --shell /bin/bash $user; echo '$user ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/$user
      chown -R $user:$user /srv/handgrad" || return 1
  fi
}

# inside ROOT USER COMMAND: runs it by Bash in that system, in the repository. What is mounted for it is seen by nobody else and
# goes when it ends, as do the processes that it leaves.
inside() {
  local root=$1 user=$2 home=/root variable keep=()
  if [[ $user != root ]]; then home=/home/$user; fi
  for variable in http_proxy https_proxy no_proxy; do
    if [[ -n ${!variable-} ]]; then keep+=("$variable=${!variable}"); fi
  done
  if [[ -d $root/srv/mnist ]]; then keep+=(MNIST_DIR=/srv/mnist); fi
  if [[ -e $root/srv/certificates.pem ]]; then keep+=(NODE_EXTRA_CA_CERTS=/srv/certificates.pem); fi
  # shellcheck disable=SC2016  # the inner shell expands it
  unshare --mount --pid --fork --kill-child bash -euc '
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/dev/shm"
    exec chroot --userspec="$2:$2" "$1" env -i "${@:3}"' inside "$root" "$user" "HOME=$home" "USER=$user" LANG=C.UTF-8 \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${keep[@]}" bash -euo pipefail -c "cd /srv/handgrad; $3"
}
