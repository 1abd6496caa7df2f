use strict; use warnings; use DBI; use DBD::Pg qw(:async);
my ($port, $token, $ca, $other) = @ARGV;
sub opened {
    my $dsn = "dbi:Pg:host=localhost;port=$port;dbname=orders;sslmode=verify-full;sslrootcert=" . shift;
    return DBI->connect($dsn, 'x+orders-db', $token, { RaiseError => 0, PrintError => 0 });
}
my $c = opened($ca) or die DBI->errstr;
sub is { my ($got, $wanted) = @_; die "$got is not $wanted\n" if $got ne $wanted; }
sub one { return ($c->selectrow_array(shift))[0]; }
my @cases = (
    login => sub { is(one('select 1'), 1) },
    prepared => sub {
        my $p = $c->prepare('select ?::int + 1');
        for my $n (0 .. 19) { $p->execute($n); is(($p->fetchrow_array)[0], $n + 1); }
    },
    large => sub { is(length(one("select repeat('z', 8388608)")), 8388608) },
    cancel => sub {
        my $began = time;
        $c->do('select pg_sleep(60)', { pg_async => PG_ASYNC });
        sleep 1;
        is($c->pg_cancel() ? 1 : 0, 1);
        is(time - $began < 20 ? 1 : 0, 1);
        is(one('select 1'), 1);
    },
    'verify-full' => sub { is(defined(opened($other)) ? 1 : 0, 0) },
);
while (my ($name, $case) = splice(@cases, 0, 2)) {
    if (eval { $case->(); 1 }) { print "$name ok\n" } else { chomp(my $why = $@); print "$name failed: $why\n" }
}
