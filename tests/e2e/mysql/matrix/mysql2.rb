require 'mysql2'
port, token, ca, other = ARGV
open = lambda do |ca|
  # "localhost" is a socket to it. What it has no argument for, its library reads here.
  file = ENV['HOME'] + '/mysql2-ruby.cnf'
  File.write(file, "[client]\nssl-ca=#{ca}\nssl-verify-server-cert\n")
  Mysql2::Client.new(host: '127.0.0.1', port: port.to_i, username: 'x+orders-db', password: token, database: 'orders',
                     default_file: file, default_group: 'client')
end
c = open.(ca)
is = ->(got, wanted) { raise "#{got.inspect} is not #{wanted.inspect}" if got != wanted }
one = ->(sql) { c.query(sql).first.values[0] }
cases = {
  'login' => -> { is.(one.('select 1'), 1) },
  'prepared' => -> {
    p = c.prepare('select ? + 1 as n')
    20.times { |n| is.(p.execute(n).first['n'].to_i, n + 1) }
  },
  'large' => -> { is.(one.("select repeat('z', 8388608)").length, 8388608) },
  'cancel' => -> {
    began = Time.now
    Thread.new { sleep 1; open.(ca).query("kill query #{c.thread_id}") }
    begin
      is.(one.('select sleep(60)'), 1)
    rescue Mysql2::Error => e
      is.(e.errno, 1317)
    end
    is.(Time.now - began < 20, true)
    is.(one.('select 1'), 1)
  },
  'verify-full' => -> {
    begin
      open.(other)
    rescue Mysql2::Error => e
      is.(e.message.downcase.include?('certificate'), true)
      next
    end
    raise 'trusted'
  },
}
cases.each do |name, run|
  begin
    run.()
    puts "#{name} ok"
  rescue StandardError => e
    puts "#{name} failed: #{e.message}"
  end
end
