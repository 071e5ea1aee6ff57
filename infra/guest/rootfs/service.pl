# The service of the guest: HTTP on port 80, keep-alive, one process, no modules.
# Answers {"bootId","uptimeSeconds","requests"}; the count lives on the data disk, so it goes on over a restart.
# PERL_HASH_SEED and PERL_INTERNAL_RAND_SEED are set in inittab: perl would wait 1.2 s for the kernel's random numbers (TCG).
use strict;
$SIG{PIPE} = 'IGNORE';

my $file = -d '/data/lost+found' ? '/data/requests' : '/run/requests';
open(my $counter, -e $file ? '+<' : '+>', $file) or die "$file: $!";
my $requests = (<$counter> // 0) + 0;
open(my $boot, '<', '/proc/sys/kernel/random/boot_id') or die $!;
chomp(my $boot_id = <$boot>);
open(my $uptime, '<', '/proc/uptime') or die $!;

# Numbers of Linux on amd64: AF_INET 2, SOCK_STREAM 1, SOL_SOCKET 1, SO_REUSEADDR 2, IPPROTO_TCP 6, TCP_NODELAY 1, F_SETFL 4, O_NONBLOCK 2048.
socket(my $listener, 2, 1, 0) or die $!;
setsockopt($listener, 1, 2, pack('i', 1));
bind($listener, pack('S n a4 x8', 2, 80, "\0\0\0\0")) or die $!;
listen($listener, 128) or die $!;
fcntl($listener, 4, 2048);

my (%socket, %in, %out);
my $reading = '';
vec($reading, fileno($listener), 1) = 1;
my $writing = '';

sub gone { my $fd = shift; vec($reading, $fd, 1) = 0; vec($writing, $fd, 1) = 0; close $socket{$fd}; delete $socket{$fd}; delete $in{$fd}; delete $out{$fd}; }

sub answer {
  sysseek($uptime, 0, 0);
  sysread($uptime, my $up, 64);
  ($up) = split ' ', $up;
  $requests++;
  sysseek($counter, 0, 0);
  syswrite($counter, sprintf("%020d\n", $requests)); # same length each time: no truncation, no new block
  my $body = qq({"bootId":"$boot_id","uptimeSeconds":$up,"requests":$requests}\n);
  return "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: " . length($body) . "\r\n\r\n$body";
}

sub flush_out {
  my $fd = shift;
  my $n = syswrite($socket{$fd}, $out{$fd});
  return gone($fd) if !defined $n && $! != 11;
  substr($out{$fd}, 0, $n // 0) = '';
  vec($writing, $fd, 1) = length $out{$fd} ? 1 : 0;
}

while (1) {
  my ($r, $w) = ($reading, $writing);
  next if select($r, $w, undef, undef) < 0;
  if (vec($r, fileno($listener), 1)) {
    while (accept(my $s, $listener)) {
      my $fd = fileno($s);
      if ($fd > 900) { close $s; next; } # select ends at 1024
      fcntl($s, 4, 2048);
      setsockopt($s, 6, 1, pack('i', 1));
      $socket{$fd} = $s; $in{$fd} = ''; $out{$fd} = '';
      vec($reading, $fd, 1) = 1;
    }
  }
  for my $fd (keys %socket) {
    if (vec($r, $fd, 1)) {
      my $n = sysread($socket{$fd}, $in{$fd}, 16384, length $in{$fd});
      if (defined $n ? $n == 0 : $! != 11) { gone($fd); next; }
    }
    elsif (!vec($w, $fd, 1)) { next; }
    $out{$fd} .= answer() while length $out{$fd} < 65536 && $in{$fd} =~ s/^.*?\r\n\r\n//s;
    if (length $in{$fd} > 65536) { gone($fd); next; } # no request of ours is this long
    flush_out($fd) if length $out{$fd};
  }
}
