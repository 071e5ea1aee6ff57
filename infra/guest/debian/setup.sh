#!/bin/sh
# Runs inside the image, as root, once its packages and the files of tree/ are there.
set -eu

systemctl enable systemd-networkd systemd-networkd-wait-online systemd-resolved serial-getty@ttyS0.service
systemctl disable apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
passwd --lock root
ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf

# The boot loader for both firmwares: nothing but what finds the root and reads its grub.cfg.
modules='part_gpt ext2 search search_label configfile linux serial terminal normal echo'
mkdir -p /boot/loader
grub-mkimage -O i386-pc -o /boot/loader/core.img -p /boot/grub -c /boot/grub/find-root.cfg biosdisk $modules
grub-mkimage -O x86_64-efi -o /boot/loader/BOOTX64.EFI -p /boot/grub -c /boot/grub/find-root.cfg $modules
cp /usr/lib/grub/i386-pc/boot.img /boot/loader/boot.img
apt-get -y purge --auto-remove grub-pc-bin grub-efi-amd64-bin grub-common

# Of the making, not of the image: the machine's proxy may be among them.
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/99mmdebstrap
# Each VM gets its own.
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/hostname
: > /etc/machine-id
